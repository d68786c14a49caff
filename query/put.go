package query

import (
	"slices"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// Put is a column that a statement writes, at any depth, and what it writes there.
// Through a view it is the table's column that is written.
type Put struct {
	Into Ref
	From Column
}

// Exit is a call of a function that takes what it is given to where no label follows:
// settings, notifications, large objects, other servers, the log, locks.
type Exit struct {
	Function string
	From     Column
}

// put notes what a write puts where.
func (r *resolver) put(w write) write {
	if w.goal == nil {
		return w
	}
	r.limited(w)
	for _, c := range w.set {
		if c.name == Star {
			for _, own := range w.goal.cols {
				r.puts = append(r.puts, w.puts(own.name, c.flow)...)
			}
			continue
		}
		r.puts = append(r.puts, w.puts(c.name, c.flow)...)
	}
	return w
}

// placed is a flow into one column, which is a base column where its number is known.
type placed struct {
	ref  Ref
	at   int // number of the base column; -1 if ref says it
	flow flow
}

func (w write) puts(name string, f flow) (out []placed) {
	into, n := w.goal.find(name)
	if n == 1 {
		into.direct.each(func(i int) { out = append(out, placed{at: i, flow: f}) })
	}
	if len(out) > 0 {
		return out
	}
	for _, t := range w.target {
		out = append(out, placed{ref: Ref{t.Schema, t.Table, name}, at: -1, flow: f})
	}
	return out
}

// leaves notes what a function is given that takes it away.
func (r *resolver) leaves(n *ast.FuncCall, f flow) {
	parts := names(n.Funcname)
	if len(parts) == 0 || !exits[parts[len(parts)-1]] {
		return
	}
	if r.a.within {
		f.unknown = f.unknown || hasParameter(n)
	}
	r.gone = append(r.gone, column{parts[len(parts)-1], f.through()})
}

var exits = wordSet(`set_config pg_notify setval pg_logical_emit_message
lo_from_bytea lo_put lowrite lo_export lo_create lo_import
dblink dblink_exec dblink_send_query dblink_connect dblink_open
pg_advisory_lock pg_advisory_lock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared
pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
pg_file_write pg_create_restore_point pg_create_logical_replication_slot pg_create_physical_replication_slot
pg_replication_origin_create pg_sleep pg_sleep_for pg_sleep_until http_get http_post http_put net_http_post`)

func hasParameter(n ast.Node) (found bool) {
	ast.Rewrite(n, func(c *ast.Cursor) bool {
		if p, ok := c.Node().(*ast.ParamRef); ok && p != nil {
			found = true
		}
		return !found
	}, nil)
	return found
}

// moves writes down what the statement puts where, and what it takes away. In a
// routine's body, where variables are, nobody knows what is in them.
func (r *resolver) moves(n ast.Node) {
	st := r.a.st
	doubt := r.a.within && (len(r.puts) > 0) && hasParameter(n)
	for _, p := range r.puts {
		f := p.flow
		f.unknown = f.unknown || doubt || r.over
		ref := p.ref
		if p.at >= 0 {
			ref = r.refs[p.at]
		}
		st.Puts = append(st.Puts, Put{ref, r.columns([]column{{ref.Column, f}})[0]})
	}
	for _, g := range r.gone {
		g.flow.unknown = g.flow.unknown || r.over
		if from := r.columns([]column{g})[0]; !from.Known || len(from.Sources) > 0 || len(from.Swayed) > 0 {
			st.Exits = append(st.Exits, Exit{g.name, from})
		}
	}
	st.Puts = slices.CompactFunc(st.Puts, func(a, b Put) bool {
		return a.Into == b.Into && a.From.Known == b.From.Known && slices.Equal(a.From.Sources, b.From.Sources) && slices.Equal(a.From.Swayed, b.From.Swayed)
	})
}
