package gateway

import (
	"slices"

	"github.com/sluicehq/sluice/query"
)

// holdings are, for the record, the columns of personal data that a statement reads or
// writes, with what they hold as far as it is known now: "public.customers.email:email".
// A column of which nothing is known yet is none of them.
func (v view) holdings(st *query.Statement) (out []string) {
	add := func(ref query.Ref) {
		if l := v.label(ref); ref.Column != "" && l.PII {
			if s := ref.String() + ":" + l.Type; !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	for ; st != nil; st = st.Inner {
		for _, ref := range st.Reads {
			add(ref)
		}
		for _, p := range st.Puts {
			add(p.Into)
		}
	}
	return out
}
