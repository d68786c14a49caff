package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/query"
)

// part says, in brackets, which statement of a message was stopped and which part of
// it was not understood; "" if there is nothing to add. For others than who sent it,
// what was not understood is left out where it may be a secret.
func (j *job) part(others bool) string {
	if len(j.runs) == 0 {
		return ""
	}
	worst := 0
	for i, x := range j.runs {
		if x.verdict.Effect < j.runs[worst].verdict.Effect {
			worst = i
		}
	}
	x := j.runs[worst]
	var parts []string
	if len(j.runs) > 1 {
		parts = append(parts, fmt.Sprintf("statement %d of %d", worst+1, len(j.runs)))
	}
	if why := doubt(x.means); why != "" && !(others && x.secret()) {
		parts = append(parts, why)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ": ") + ")"
}

// doubt is what of a statement was not understood.
func doubt(st *query.Statement) string {
	if st.Kind != query.Unknown && !slices.ContainsFunc([]query.Sign{query.Unparsable, query.UnknownRoutine, query.DynamicSQL, query.Signals}, st.Has) {
		return ""
	}
	for ; st != nil; st = st.Inner {
		if st.Problem != "" {
			return st.Problem
		}
	}
	return ""
}
