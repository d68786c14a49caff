package gateway

import (
	"fmt"
	"strings"

	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// masked says why a write would put a mask in the place of what it hides; "" if it
// would not. Of numbers, dates and truth values nobody can tell a mask from a value.
func (v view) masked(st *query.Statement, req *wire.Request) string {
	writes := false
	for in := st; in != nil; in = in.Inner {
		writes = writes || len(in.Puts) > 0
	}
	if !writes || req == nil {
		return ""
	}
	found := ""
	for _, p := range req.Params {
		if mask.IsMask(string(p.Value)) {
			found = string(p.Value)
		}
	}
	if found == "" && (mask.ContainsMask(st.SQL) || mask.MayHoldPseudonym(st.SQL)) {
		for _, text := range query.Constants(st.SQL) {
			if mask.IsMask(text) {
				found = text
			}
		}
	}
	if found == "" {
		return ""
	}
	return fmt.Sprintf("%q is a mask and not the value that it hides: writing it to %s would destroy that; leave the column out", found, v.written(st))
}

// written names the columns of personal data that a statement writes, or all that it
// does if it writes none.
func (v view) written(st *query.Statement) string {
	var personal, all []string
	for ; st != nil; st = st.Inner {
		for _, p := range st.Puts {
			name := p.Into.String()
			if all = append(all, name); v.label(p.Into).PII {
				personal = append(personal, name)
			}
		}
	}
	if len(personal) > 0 {
		all = personal
	}
	const most = 3
	if len(all) > most {
		return strings.Join(all[:most], ", ") + ", …"
	}
	return strings.Join(all, ", ")
}
