package gateway

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// Rules on personal data that no policy file states. Who may see everything is not
// bound by the first two, and who may see a type of data not by the second for it.
const (
	ruleStays = "personal-data-stays"
	ruleProbe = "no-probing"
	ruleMask  = "no-masks-written"
)

// steering is how a statement is steered by personal data: what a result tells of it
// beside the values that are hidden.
type steering struct {
	probes []steer // patterns, ranges, expressions
	orders []steer // it sorts or groups by the values as they are
	equals []steer // equal to a constant, or to another personal column
	fails  []steer // it fails or not, or code in it does this or that, by what is computed of the values
	barred []steer // those of them that are written where keys, checks or the like are against some
	scales []scaled
	sleeps bool // it waits, and reads personal data
}

// scaled is a parameter that personal columns are reckoned with.
type scaled struct {
	query.Scale
	of []steer
}

// steer is one personal column that steers.
type steer struct {
	ref   query.Ref
	typ   mask.Type
	where string
}

// steering is worked out once for all who run a statement.
func (v view) steering(st *query.Statement) (out steering) {
	personal := func(dst []steer, refs []query.Ref) []steer {
		for _, ref := range refs {
			if l := v.label(ref); l.PII && v.people(ref) {
				dst = append(dst, steer{ref, mask.Type(l.Type), l.Where})
			}
		}
		return dst
	}
	for ; st != nil; st = st.Inner {
		out.probes = personal(out.probes, st.Probes)
		out.orders = personal(out.orders, st.Orders)
		out.equals = personal(out.equals, st.Equals)
		out.fails = personal(out.fails, st.Fails)
		out.barred = personal(out.barred, st.Barred)
		for _, pair := range st.Reckoned {
			if a, b := personal(nil, pair[:1]), personal(nil, pair[1:]); len(a) > 0 && len(b) == 0 {
				out.fails = append(out.fails, a...)
			}
		}
		for _, s := range st.Scales {
			if of := personal(nil, s.Of); len(of) > 0 {
				out.scales = append(out.scales, scaled{s, of})
			}
		}
		for _, pair := range st.Joins {
			a, b := personal(nil, pair[:1]), personal(nil, pair[1:])
			if len(a) > 0 && len(b) > 0 {
				continue // both hold such data already
			}
			out.probes = append(append(out.probes, a...), b...)
		}
		if slices.ContainsFunc(st.Functions, waits) {
			out.sleeps = out.sleeps || len(personal(nil, st.Reads)) > 0
		}
	}
	return out
}

// tooLarge adds the columns that are reckoned with a parameter which is larger than it may
// be, or of which nobody can tell. Of a statement that is only prepared it is not known yet.
func (how steering) tooLarge(fails []steer, req *wire.Request) []steer {
	if req == nil || req.Action != wire.Run {
		return fails
	}
	for _, s := range how.scales {
		var p wire.Param
		if s.Param > 0 && s.Param <= len(req.Params) {
			p = req.Params[s.Param-1]
			if p.Value == nil {
				continue // NULL, of which nothing is reckoned
			}
		}
		if n, ok := sizeOf(p); !ok || n > s.Most {
			fails = append(slices.Clip(fails), s.of...)
		}
	}
	return fails
}

// sizeOf is how large a parameter is.
func sizeOf(p wire.Param) (float64, bool) {
	if !p.Binary {
		return query.SizeOf(string(p.Value))
	}
	const head = 8 // of a numeric: digits, weight, sign, scale
	v, be := p.Value, binary.BigEndian
	switch n := len(v); {
	case p.TypeOID == pgtype.Float4OID && n == 4:
		return math.Abs(float64(math.Float32frombits(be.Uint32(v)))), true
	case p.TypeOID == pgtype.Float8OID && n == 8:
		return math.Abs(math.Float64frombits(be.Uint64(v))), true
	case p.TypeOID == pgtype.NumericOID || p.TypeOID == 0 && n > head:
		if n < head || n != head+2*int(be.Uint16(v)) {
			return 0, false
		}
		return math.Pow(10_000, float64(int16(be.Uint16(v[2:])))+1), true //nolint:gosec // the bits are the number
	case n == 2:
		return math.Abs(float64(int16(be.Uint16(v)))), true //nolint:gosec // as above
	case n == 4:
		return math.Abs(float64(int32(be.Uint32(v)))), true //nolint:gosec // as above
	case n == 8:
		return math.Abs(float64(int64(be.Uint64(v)))), true //nolint:gosec // as above
	}
	return 0, false
}

// people reports whether a column is one of the users' tables. What PostgreSQL's own
// relations show of statements and statistics is hidden, and searching them is what
// tools do.
func (v view) people(ref query.Ref) bool {
	if v.made[ref.Table] != nil {
		return true
	}
	rel, ok := v.known.Relation(ref.Schema, ref.Table)
	return ok && !rel.System
}

func waits(function string) bool {
	return strings.HasPrefix(strings.TrimPrefix(function, "pg_catalog."), "pg_sleep")
}

// hiddenFrom are those that the caller may not see.
func (x *run) hiddenFrom(list []steer) (out []steer) {
	for _, c := range list {
		if !slices.Contains(x.verdict.Unmask, string(c.typ)) {
			out = append(out, c)
		}
	}
	return out
}

// guard is the verdict after what no rule of a file can allow.
func (s *session) guard(x *run, v view, req *wire.Request) policy.Verdict {
	if x.verdict.Effect == policy.Deny {
		return x.verdict
	}
	if no := s.leashed(x.means); no != nil {
		return *no
	}
	no := policy.Verdict{Effect: policy.Deny, Rule: ruleMask}
	if no.Reason = v.masked(x.means, req); no.Reason != "" {
		return no
	}
	if x.bare() {
		return x.verdict
	}
	no.Rule = ruleStays
	for st := x.means; st != nil; st = st.Inner {
		if no.Reason = v.escapes(st); no.Reason != "" {
			return no
		}
	}
	if renamesNew(x.means, v) {
		no.Reason = "a table that was filled with personal data is renamed in the transaction that makes it; commit first, then rename it"
		return no
	}
	no.Rule = ruleProbe
	how := x.about.steering
	if how.sleeps {
		no.Reason = "waiting beside personal data tells of it by the clock; leave pg_sleep out"
		return no
	}
	probes := x.hiddenFrom(how.probes)
	machine := s.Who.Kind != identity.Person
	for _, c := range x.grouped(x.hiddenFrom(how.orders)) {
		if machine || ranks(c.typ) {
			probes = append(probes, c)
		}
	}
	if !machine {
		probes = slices.DeleteFunc(probes, func(c steer) bool { return c.where == embedded || c.where == "json" })
	}
	fails := how.fails
	if machine {
		fails = how.tooLarge(fails, req)
	}
	if fails = x.hiddenFrom(fails); machine && len(probes) == 0 && len(fails) > 0 {
		c := fails[0]
		if slices.Contains(how.barred, c) {
			no.Reason = fmt.Sprintf("%s holds personal data (%s), and whether this write fails tells of it: what is written was computed of it, or the table has checks, lengths or triggers that are newer than the gateway's start; have a person write it, or a rule unmask %s", c.ref, c.typ, c.typ)
			return no
		}
		no.Reason = fmt.Sprintf("%s holds personal data (%s), and whether this fails, or what code in it does, tells of what is computed of it; divide by nullif(…, 0), reckon in numeric, cast and compare whole values only, or have a rule unmask %s", c.ref, c.typ, c.typ)
		return no
	}
	if len(probes) == 0 {
		return x.verdict
	}
	c := probes[0]
	if machine {
		no.Reason = fmt.Sprintf("%s holds personal data (%s), and this searches or sorts by more than whole values of it; compare it with = or IN, or have a rule unmask %s", c.ref, c.typ, c.typ)
		return no
	}
	runs := req != nil && req.Action == wire.Run
	if runs && !s.g.meter.probe(s.owner(), s.g.cfg.Now()) {
		no.Reason = fmt.Sprintf("%d statements of this hour searched in personal data by parts of it; wait, compare %s with = or IN, or have a rule unmask %s", maxProbes, c.ref, c.typ)
		return no
	}
	x.blind = c.ref.String()
	return x.verdict
}

// ranks reports whether the order of values of a type tells something of people.
func ranks(t mask.Type) bool {
	switch t {
	case mask.Email, mask.Person, mask.Phone, mask.Username, mask.Address, mask.IP, mask.MAC:
		return false
	}
	return true
}

// escapes says why a statement takes personal data to where no label follows; "" if it
// does not.
func (v view) escapes(st *query.Statement) string {
	var reads query.Ref
	for _, ref := range st.Reads {
		if ref.Column != "" && v.label(ref).PII && v.people(ref) {
			reads = ref
		}
	}
	for _, e := range st.Exits {
		if l, ok := v.carried(e.From, query.Ref{}, ""); ok {
			return fmt.Sprintf("%s would be given personal data (%s), and takes it where no mask is", e.Function, strings.TrimSuffix(l.Evidence, " by "))
		}
		if !e.From.Known && reads != (query.Ref{}) {
			return fmt.Sprintf("%s might be given what is read from %s, and takes it where no mask is", e.Function, reads)
		}
	}
	for _, p := range st.Puts {
		rel, _ := v.known.Relation(p.Into.Schema, p.Into.Table)
		if v.known.Snapshot == nil && !p.From.Known {
			return fmt.Sprintf("the catalogue cannot be read now, so nothing tells whether %s is on another server, where no mask is; try again when it can", p.Into)
		}
		nowhere := v.nowhere(p.Into)
		if rel.Kind != query.ForeignTable && !nowhere {
			continue
		}
		if _, ok := v.carried(p.From, query.Ref{}, ""); ok || !p.From.Known && reads != (query.Ref{}) {
			if nowhere {
				return fmt.Sprintf("it writes personal data to %s, and what is written there cannot be followed before the change that makes it is committed; commit first, then run it", p.Into.Table)
			}
			return fmt.Sprintf("%s is on another server, where no mask is, and this writes personal data to it", p.Into)
		}
	}
	if st.Kind != query.CopyTo || !st.Has(query.Program) && !st.Has(query.ServerFile) {
		return ""
	}
	for _, c := range st.Output {
		if _, ok := v.carried(c, query.Ref{}, ""); ok || !c.Known {
			return "this copies personal data to a file or program of the database server, where no mask is; copy to STDOUT"
		}
	}
	return ""
}

// renamesNew reports whether a statement renames, or moves, what this transaction has
// made and filled with personal data: its label waits under the name that it has.
func renamesNew(st *query.Statement, v view) bool {
	if st.Kind != query.DDL || !strings.Contains(st.Tag, "RENAME") && !strings.Contains(st.Tag, "SET SCHEMA") {
		return false
	}
	for name, m := range v.made {
		if !m.open || temporary(m.rel.Schema) || !v.personal(query.Ref{Schema: m.rel.Schema, Table: name}) {
			continue
		}
		if len(st.Targets) == 0 || slices.ContainsFunc(st.Targets, func(r query.Ref) bool { return r.Table == name }) {
			return true
		}
	}
	return false
}
