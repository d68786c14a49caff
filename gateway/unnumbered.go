package gateway

import "github.com/sluicehq/sluice/query"

// unnumbered reports whether a result would show something of a user's table that the
// server describes by no number of that table: what is computed, and what a view shows.
// Whether the names still mean what they meant is then found out before it runs, if it was
// not a moment ago (decision 079).
func (v view) unnumbered(st *query.Statement) bool {
	for ; st != nil; st = st.Inner {
		cols, ok := st.Results()
		if !ok || len(cols) == 0 {
			continue
		}
		through := false
		for _, ref := range st.Relations {
			rel, _ := v.known.Relation(ref.Schema, ref.Table)
			through = through || !rel.System && (rel.Kind == query.View || rel.Kind == query.MaterializedView)
		}
		for _, c := range cols {
			for _, src := range c.Sources {
				if src.How == query.Counted || src.How == query.Direct && !through {
					continue
				}
				if v.people(src.Ref) && !v.label(src.Ref).PII {
					return true
				}
			}
		}
	}
	return false
}
