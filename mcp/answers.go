package mcp

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/howlong"
)

// ran is what programs are told of a statement.
type ran struct {
	Status    string   `json:"status"`
	ID        string   `json:"statement_id,omitempty"`
	Command   string   `json:"command,omitempty"`
	Rows      int      `json:"row_count"`
	Truncated bool     `json:"truncated,omitempty"`
	Cut       bool     `json:"values_cut,omitempty"`
	Masked    int64    `json:"hidden_values,omitempty"`
	Remarks   []string `json:"remarks,omitempty"`
	Waiting   *waiting `json:"waiting,omitempty"`
}

// rowset is what a statement gave, all of it data.
type rowset struct {
	Columns []column            `json:"columns,omitempty"`
	Hidden  []hiding            `json:"hidden,omitempty"`
	Rows    [][]json.RawMessage `json:"rows,omitempty"`
	Notices []said              `json:"notices,omitempty"`
}

// tell is what there is to say of a statement now.
func (st *statement) tell(now time.Time) answer {
	if st.book != nil {
		return st.tellRun(now)
	}
	out, ended := st.result()
	switch wait, _ := st.waits(); {
	case ended && out.err != nil:
		r, data := told(out.err)
		a := r.answer()
		a.data = errorData(data, out.notices)
		return a
	case ended:
		return st.tellEnd(out)
	case wait != nil:
		return st.tellHeld(*wait)
	default:
		return answer{
			facts: ran{Status: stateRunning, ID: st.id},
			says:  fmt.Sprintf("It still runs, for %s by now. Ask statement_status with statement_id %s for the outcome, or end it with cancel_statement.", howlong.Text(now.Sub(st.began).Round(time.Second)), st.id),
		}
	}
}

func errorData(data any, notices []said) any {
	if data == nil && len(notices) == 0 {
		return nil
	}
	out := map[string]any{}
	if data != nil {
		out["error"] = data
	}
	if len(notices) > 0 {
		out["notices"] = notices
	}
	return out
}

func (st *statement) tellHeld(w waiting) answer {
	return answer{
		facts: ran{Status: stateHeld, ID: st.id, Waiting: &w},
		says: fmt.Sprintf("It has not run: it waits for approval %s by %s (rule %s). Tell the person you act for; people answer with: sluice approvals. "+
			"Go on with something else, and ask statement_status with statement_id %s later; it runs by itself when it is approved, once. cancel_statement withdraws it. Do not send it again meanwhile.",
			w.Approval, w.Needs, w.Rule, st.id),
	}
}

func (st *statement) tellEnd(out outcome) answer {
	facts := ran{Status: stateDone, ID: st.id, Command: out.command, Rows: len(out.rows), Truncated: out.truncated, Cut: out.cut, Masked: out.masked, Remarks: out.remarks}
	var says []string
	switch {
	case out.columns == nil:
		says = append(says, "Done: "+out.command+".")
	case out.truncated:
		says = append(says, fmt.Sprintf("The first %s; there are more. Ask for less with conditions, ORDER BY and LIMIT, aggregate in SQL, or set max_rows (at most %d).", counted(len(out.rows), "row"), MaxRows))
	default:
		says = append(says, counted(len(out.rows), "row")+".")
	}
	if len(out.hidden) > 0 {
		says = append(says, "Hidden, at least in part, because it is personal data that you may not see: "+counted(len(out.hidden), "column")+"; data.hidden says which, and of what kind.")
	}
	if out.cut {
		says = append(says, "Values that end in … were cut.")
	}
	for _, remark := range out.remarks {
		says = append(says, "Sluice says: "+remark+".")
	}
	a := answer{says: strings.Join(says, " "), facts: facts}
	if out.columns != nil || len(out.notices) > 0 {
		a.data = rowset{Columns: out.columns, Hidden: out.hidden, Rows: out.rows, Notices: out.notices}
	}
	return a
}

// counted writes a number of things for people: "1 row", "2 rows".
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
