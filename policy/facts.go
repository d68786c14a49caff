package policy

import (
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/query"
)

// names are all that a rule may speak of, with the type each has. They are declared
// one by one rather than as objects, so that a misspelt one is found when the file
// is loaded and not when a statement is decided.
func names() map[string]*cel.Type {
	list := cel.ListType(cel.StringType)
	return map[string]*cel.Type{
		"statement.kind":       cel.StringType, // "select", "update", …; "unknown"
		"statement.kinds":      list,           // its kind, and those of what the routines that it calls would run
		"statement.tag":        cel.StringType, // leading words: "DROP TABLE"
		"statement.writes":     cel.BoolType,   // changes data, or may
		"statement.destroys":   cel.BoolType,   // what is gone cannot be rolled forward
		"statement.ddl":        cel.BoolType,   // changes objects or privileges
		"statement.reads_data": cel.BoolType,   // reads a relation, or may
		"statement.unknown":    cel.BoolType,   // its effect could not be worked out
		"statement.signs":      list,           // "no_where", "program", …
		"statement.tables":     list,           // "schema.table" read, written or changed, by what it sets off too
		"statement.reads":      list,           // "schema.table.column" read
		"statement.functions":  list,           // called, lower case
		"statement.sets":       cel.StringType, // parameter that SET changes
		"connection.name":      cel.StringType, //
		"connection.env":       cel.StringType, // lower case
		"who.subject":          cel.StringType, //
		"who.email":            cel.StringType, //
		"who.groups":           list,           //
		"who.kind":             cel.StringType, // "person", "job", "agent"
		"who.owner":            cel.StringType, // of an agent
		"now":                  cel.TimestampType,
		"time.hour":            cel.IntType,    // 0 to 23, as the next in the file's time_zone
		"time.minute":          cel.IntType,    // 0 to 59
		"time.weekday":         cel.StringType, // "monday" to "sunday"
		"time.date":            cel.StringType, // "2026-12-24"
	}
}

// tellsTime reports whether a name has another value a moment later.
func tellsTime(name string) bool { return name == "now" || strings.HasPrefix(name, "time.") }

// facts answers what a rule asks about one request. Most rules look at two or three
// names, so nothing is worked out before it is asked for; lists are kept, because
// several rules ask for the same one. It serves one Decide and is not shared.
type facts struct {
	req    *Request
	zone   *time.Location  // nil is UTC
	lacks  map[string]bool // names of which nothing is known
	signs  []query.Sign
	signed bool // signs are collected
	lists  [6]ref.Val
}

var _ interpreter.Activation = (*facts)(nil)

// Parent is nil: there are no names but those of ResolveName.
func (f *facts) Parent() interpreter.Activation { return nil }

// ResolveName gives the value of one of names.
func (f *facts) ResolveName(name string) (any, bool) {
	if f.lacks[name] {
		return types.NewUnknown(0, nil), true
	}
	s, who := f.req.Statement, &f.req.Who
	switch name {
	case "statement.kind":
		if s.Kind == query.Unknown {
			return types.String("unknown"), true
		}
		return types.String(s.Kind), true
	case "statement.kinds":
		return f.list(5, func() []string { return kinds(s, nil) }), true
	case "statement.tag":
		return types.String(s.Tag), true
	case "statement.writes":
		return types.Bool(writes(s) || f.unknown()), true
	case "statement.destroys":
		return types.Bool(destroys(s) || f.has(query.Destructive)), true
	case "statement.ddl":
		return types.Bool(changesObjects(s)), true
	case "statement.reads_data":
		return types.Bool(readsData(s) || f.unknown()), true
	case "statement.unknown":
		return types.Bool(f.unknown()), true
	case "statement.sets":
		return types.String(s.SetName), true
	case "statement.signs":
		return f.list(0, f.signNames), true
	case "statement.tables":
		return f.list(1, func() []string { return tables(s) }), true
	case "statement.reads":
		return f.list(2, func() []string { return columns(s, nil) }), true
	case "statement.functions":
		return f.list(3, func() []string { return functions(s, nil) }), true
	case "who.groups":
		return f.list(4, func() []string { return groups(who) }), true
	case "connection.name":
		return types.String(f.req.Connection.Name), true
	case "connection.env":
		return types.String(strings.ToLower(strings.TrimSpace(f.req.Connection.Env))), true
	case "who.subject":
		return types.String(who.Subject), true
	case "who.email":
		return types.String(who.Email), true
	case "who.kind":
		return types.String(who.Kind), true
	case "who.owner":
		return types.String(who.Owner), true
	case "now":
		return types.Timestamp{Time: f.req.At}, true
	}
	return f.time(name)
}

// time gives what a clock on the wall shows where the rules are at home.
func (f *facts) time(name string) (any, bool) {
	zone := f.zone
	if zone == nil {
		zone = time.UTC
	}
	at := f.req.At.In(zone)
	switch name {
	case "time.hour":
		return types.Int(at.Hour()), true
	case "time.minute":
		return types.Int(at.Minute()), true
	case "time.weekday":
		return types.String(strings.ToLower(at.Weekday().String())), true
	case "time.date":
		return types.String(at.Format(time.DateOnly)), true
	}
	return nil, false
}

func (f *facts) list(i int, make func() []string) ref.Val {
	if f.lists[i] == nil {
		f.lists[i] = types.NewStringList(types.DefaultTypeAdapter, make())
	}
	return f.lists[i]
}

func (f *facts) has(sign query.Sign) bool {
	if !f.signed {
		f.signs, f.signed = signs(f.req.Statement, nil), true
	}
	return slices.Contains(f.signs, sign)
}

func (f *facts) signNames() []string {
	f.has("")
	list := make([]string, len(f.signs))
	for i, s := range f.signs {
		list[i] = string(s)
	}
	return list
}

// unknown is true if anything about the statement's effect is in doubt. EXECUTE of
// a prepared statement that nobody could name is as unknown as its text.
func (f *facts) unknown() bool {
	if f.has(query.Unparsable) || f.has(query.DynamicSQL) || f.has(query.UnknownRoutine) || f.has(query.Signals) {
		return true
	}
	for s := f.req.Statement; s != nil; s = s.Inner {
		if s.Kind == query.Unknown || (s.Kind == query.Execute && s.Inner == nil) {
			return true
		}
	}
	return false
}

// onPlan are the signs that say nothing about EXPLAIN without ANALYZE: it plans the
// inner statement and changes no row.
var onPlan = [...]query.Sign{query.NoWhere, query.Destructive, query.Privilege, query.TableLock, query.RowLock, query.LongRunning}

// signs collects those of the statement and of what it would run.
func signs(s *query.Statement, list []query.Sign) []query.Sign {
	list = append(list, s.Signs...)
	if s.Inner == nil {
		return list
	}
	for _, sign := range signs(s.Inner, nil) {
		if s.Kind == query.Explain && slices.Contains(onPlan[:], sign) {
			continue
		}
		list = append(list, sign)
	}
	return list
}

func writes(s *query.Statement) bool {
	if s.Writes || changesObjects(s) {
		return true
	}
	switch s.Kind {
	case query.Insert, query.Update, query.Delete, query.Merge, query.CopyFrom:
		return true
	case query.Explain:
		return false
	}
	return s.Inner != nil && writes(s.Inner)
}

// MayChange reports whether a statement changes data or objects, or may: what
// statement.writes says to rules.
func MayChange(s *query.Statement) bool {
	f := facts{req: &Request{Statement: s}}
	return writes(s) || f.unknown()
}

func destroys(s *query.Statement) bool {
	return s.Kind == query.Drop || s.Kind == query.Truncate || s.Runs(query.Drop, query.Truncate) || (s.Inner != nil && destroys(s.Inner))
}

func changesObjects(s *query.Statement) bool {
	switch s.Kind {
	case query.DDL, query.Drop, query.Truncate, query.Grant:
		return true
	case query.Explain:
		return false
	}
	if s.Runs(query.DDL, query.Drop, query.Truncate, query.Grant) {
		return true
	}
	return s.Inner != nil && changesObjects(s.Inner)
}

func readsData(s *query.Statement) bool {
	return len(s.Reads) > 0 || len(s.Relations) > 0 || (s.Inner != nil && readsData(s.Inner))
}

// tables are few, or as many as a table has partitions.
func tables(s *query.Statement) []string {
	list, seen := []string{}, map[query.Ref]bool{}
	put := func(r query.Ref) {
		r.Column = ""
		if r.Table != "" && !seen[r] {
			seen[r] = true
			list = append(list, strings.TrimPrefix(r.String(), "."))
		}
	}
	for ; s != nil; s = s.Inner {
		for _, refs := range [][]query.Ref{s.Relations, s.Targets, s.Reads} {
			for _, r := range refs {
				put(r)
			}
		}
		for _, c := range s.Consequences {
			put(c.Ref)
		}
	}
	return list
}

func columns(s *query.Statement, list []string) []string {
	for _, refs := range [][]query.Ref{s.Reads, s.Indirect} {
		for _, r := range refs {
			if r.Column != "" {
				list = add(list, r)
			}
		}
	}
	if s.Inner != nil {
		return columns(s.Inner, list)
	}
	return list
}

// kinds of EXPLAIN are its own only: what it explains does not run.
func kinds(s *query.Statement, list []string) []string {
	for _, k := range append([]query.Kind{s.Kind}, s.Inside...) {
		name := string(k)
		if k == query.Unknown {
			name = "unknown"
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	if s.Inner != nil && s.Kind != query.Explain {
		return kinds(s.Inner, list)
	}
	return list
}

func functions(s *query.Statement, list []string) []string {
	list = append(list, s.Functions...)
	if s.Inner != nil {
		return functions(s.Inner, list)
	}
	return list
}

// groups leaves out the empty name, so that no rule matches on it by accident.
func groups(who *identity.Identity) []string {
	return slices.DeleteFunc(slices.Clone(who.Groups), func(g string) bool { return g == "" })
}

// add appends a reference, once; without a schema there is no leading dot.
func add(list []string, r query.Ref) []string {
	name := strings.TrimPrefix(r.String(), ".")
	if r.Table == "" || slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}
