package query

import "strings"

// Role is what a column does that steers a statement: several, as bits. The zero value is
// that it is not known.
type Role uint8

// What columns that steer are for. The names are OpenLineage's.
const (
	RoleJoin        Role = 1 << iota // rows of several relations are matched by it
	RoleFilter                       // a condition that rows must meet
	RoleGroup                        // rows are put together by it
	RoleSort                         // rows are ordered by it
	RoleWindow                       // partition or order of a window
	RoleConditional                  // it chooses between values
)

const roleCount = 6

// in follows something in which columns steer in this role.
func (r *resolver) in(role Role, f func()) {
	was := r.role
	r.role = role
	f()
	r.role = was
}

// sways notes that a flow steers, in the role of where it stands.
func (r *resolver) sways(f flow) {
	r.steers.add(f)
	for i := range roleCount {
		if r.role == 1<<i {
			b := &r.roles[i]
			b.or(f.direct)
			b.or(f.derived)
			b.or(f.present())
		}
	}
}

// matches notes that two flows are compared with each other: columns of two relations are
// matched, wherever the condition stands.
func (r *resolver) matches(left, right flow) {
	role := r.role
	if role == RoleFilter && left.asItIs() && right.asItIs() && r.apartFrom(left, right) {
		role = RoleJoin
	}
	r.in(role, func() { r.sways(left); r.sways(right) })
}

// apartFrom reports whether no column of one flow is of a relation of the other.
func (r *resolver) apartFrom(left, right flow) bool {
	for _, a := range r.list(left.direct) {
		for _, b := range r.list(right.direct) {
			if a.Schema == b.Schema && a.Table == b.Table {
				return false
			}
		}
	}
	return true
}

// parts writes down in which roles the columns of Indirect steer.
func (r *resolver) parts() {
	st := r.a.st
	steers := map[Ref]bool{}
	for _, ref := range st.Indirect {
		steers[ref] = true
	}
	for i := range roleCount {
		for _, ref := range r.list(r.roles[i]) {
			if !steers[ref] {
				continue // it would have steered what is not used
			}
			if st.Roles == nil {
				st.Roles = map[Ref]Role{}
			}
			st.Roles[ref] |= 1 << i
		}
	}
}

// String is the roles in words, in this order, with a space between them.
func (r Role) String() string {
	var words []string
	for i, word := range [roleCount]string{"join", "filter", "group_by", "sort", "window", "conditional"} {
		if r&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}
