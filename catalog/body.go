package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/query"
)

// keepBodies remembers the users' routines with what their bodies say, and which
// names routines of the system have that are not harmless. It answers with the users'
// routines by their OID.
func (s *Snapshot) keepBodies(all []*routine) map[uint32]*query.Routine {
	s.routines, s.doubtful, s.bodies = map[string][]*query.Routine{}, map[string]bool{}, &query.Bodies{}
	s.operators = map[string][]*query.Routine{}
	byOID := map[uint32]*query.Routine{}
	harmless := map[uint32]bool{}
	for _, r := range all {
		harmless[r.oid] = r.reckons()
		if isSystem(r.schema) {
			harmless[r.oid] = r.safe
			if !harmless[r.oid] {
				s.doubtful[r.name] = true
			}
			continue
		}
		q := r.public()
		byOID[r.oid] = q
		s.routines[r.name] = append(s.routines[r.name], q)
		if q.Language == "c" || q.Language == "internal" {
			continue // an operator in C was made by who rules the server
		}
		for _, op := range r.operators {
			s.operators[op] = append(s.operators[op], q)
		}
	}
	for _, r := range all {
		q := byOID[r.oid]
		if q == nil || r.kind != "a" || len(r.pieces) == 0 {
			continue
		}
		q.Language = query.Aggregate
		for _, oid := range r.pieces {
			switch piece := byOID[oid]; {
			case harmless[oid]:
			case piece != nil:
				q.Pieces = append(q.Pieces, piece)
			default:
				q.Strange = true
			}
		}
	}
	return byOID
}

func (r *routine) public() *query.Routine {
	q := &query.Routine{Schema: r.schema, Name: r.name, Procedure: r.kind == "p", Volatile: r.volatility == "v",
		Language: r.language, Body: r.body, Defaults: r.absent, Least: int(r.args - r.defaults), Most: int(r.args), Extension: r.extension, Reckons: r.reckons()}
	if r.def != "" {
		q.Body, q.Parsed = r.def, true
	}
	if r.kind == "a" || r.kind == "w" {
		q.Language = "pieces, as aggregates are"
	}
	if q.Procedure { // CALL names its OUT arguments too
		q.Most = max(q.Most, int(r.allArg))
	}
	if r.variadic {
		q.Least, q.Most = q.Least-1, -1
	}
	if !slices.Contains(r.result, "") { // the server makes up a name
		q.Result = r.result
	}
	q.Args, q.Out = r.given(), r.gives()
	for _, n := range r.names {
		if n != "" {
			q.Names = append(q.Names, n)
		}
	}
	for _, set := range r.settings {
		name, value, _ := strings.Cut(set, "=")
		switch strings.ToLower(name) {
		case "search_path":
			q.Pinned, q.Path = true, pathOf(value)
		case "role", "session_authorization", "row_security", "standard_conforming_strings", "backslash_quote",
			"client_encoding", "session_replication_role", "allow_system_table_mods", "check_function_bodies":
			q.Strange = true
		}
	}
	return q
}

// given are the names of the arguments that a call gives.
func (r *routine) given() (args []string) {
	for i := 0; len(args) < int(r.args); i++ {
		if i < len(r.modes) && (r.modes[i] == "o" || r.modes[i] == "t") {
			continue
		}
		name := ""
		if i < len(r.names) {
			name = r.names[i]
		}
		args = append(args, name)
	}
	return args
}

// gives are the columns of what it gives, if these have names.
func (r *routine) gives() (out []string) {
	if len(r.row) > 0 {
		return r.row
	}
	for i, mode := range r.modes {
		if mode != "i" && mode != "v" {
			name := "column" + fmt.Sprint(i+1)
			if i < len(r.names) && r.names[i] != "" {
				name = r.names[i]
			}
			out = append(out, name)
		}
	}
	return out
}

// pathOf reads a search_path as the server keeps it. The schema of temporary tables
// at its end changes nothing that the others have.
func pathOf(value string) []string {
	path := []string{}
	for value != "" {
		value = strings.TrimLeft(value, " \t\n,")
		if strings.HasPrefix(value, `"`) {
			var b strings.Builder
			i := 1
			for ; i < len(value); i++ {
				if value[i] == '"' {
					if i+1 < len(value) && value[i+1] == '"' {
						i++
					} else {
						break
					}
				}
				b.WriteByte(value[i])
			}
			path, value = append(path, b.String()), value[min(i+1, len(value)):]
			continue
		}
		name, rest, _ := strings.Cut(value, ",")
		path, value = append(path, strings.ToLower(strings.TrimSpace(name))), rest
	}
	path = slices.DeleteFunc(path, func(dir string) bool { return dir == "" })
	if n := len(path); n > 0 && path[n-1] == "pg_temp" {
		path = path[:n-1]
	}
	return path
}

// Routines implements query.Routiner.
func (s *Snapshot) Routines(schema, name string) ([]*query.Routine, bool) {
	if s == nil {
		return nil, false
	}
	if schema != "" && isSystem(schema) {
		return nil, false
	}
	if schema == "" {
		return s.routines[name], !s.doubtful[name]
	}
	var list []*query.Routine
	for _, r := range s.routines[name] {
		if r.Schema == schema {
			list = append(list, r)
		}
	}
	return list, true
}

// Operators implements query.Routiner.
func (s *Snapshot) Operators(name string) []*query.Routine {
	if s == nil {
		return nil
	}
	return s.operators[name]
}

// Along implements query.Routiner.
func (s *Snapshot) Along(path []string) query.Schema { return s.InPath(path) }

// Bodies implements query.Routiner.
func (s *Snapshot) Bodies() *query.Bodies { return s.bodies }

// Routines are those in the path, if it is known and the name has no schema.
func (p inPath) Routines(schema, name string) ([]*query.Routine, bool) {
	list, all := p.Snapshot.Routines(schema, name)
	if schema != "" || p.path == nil {
		return list, all
	}
	var in []*query.Routine
	for _, r := range list {
		if slices.Contains(p.path, r.Schema) {
			in = append(in, r)
		}
	}
	return in, all
}

// Bodies are this path's own.
func (p inPath) Bodies() *query.Bodies { return p.bodies }

// digestBodies adds all that a routine's effect depends on.
func (s *Snapshot) digestBodies(put func(...string)) {
	for _, name := range slices.Sorted(maps.Keys(s.routines)) {
		var lines []string
		for _, r := range s.routines[name] {
			x := *r
			x.Pieces, x.Converts = nil, nil // whose names are enough
			line := fmt.Sprintf("%+v", x)
			for _, piece := range append(slices.Clone(r.Pieces), r.Converts...) {
				line += " " + piece.Schema + "." + piece.Name
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		put(lines...)
	}
	for _, op := range slices.Sorted(maps.Keys(s.operators)) {
		for _, r := range s.operators[op] {
			put(op, r.Schema, r.Name)
		}
	}
}
