package gateway

import (
	"fmt"

	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire/postgres"
)

// limitRows refuses what may change rows under a rule that limits how many, if they
// could not be counted before they are committed.
func (j *job) limitRows() {
	for _, x := range j.runs {
		if x.verdict.MaxRows == 0 || x.verdict.Effect == policy.Deny || !changesRows(x.means) {
			continue
		}
		why := ""
		switch {
		case len(j.runs) > 1:
			why = "send it in a message of its own"
		case x.means.Kind == query.CopyFrom:
			why = "COPY tells how many it loaded when they are there; use INSERT"
		case x.means.Kind == query.Truncate:
			why = "TRUNCATE does not count; use DELETE"
		case opaque(x.means):
			why = "what it calls may change rows too"
		case x.means.Changes != 1 || !counts(x.means.Kind):
			why = "the database counts those of one INSERT, UPDATE, DELETE or MERGE; send each by itself"
		default:
			j.most = x.verdict.MaxRows
			continue
		}
		x.verdict = policy.Verdict{Effect: policy.Deny, Rule: ruleRows,
			Reason: fmt.Sprintf("a rule lets it change no more than %s, and they cannot be counted: %s", rows(x.verdict.MaxRows), why)}
	}
}

// ruleRows is a rule that no policy file states.
const ruleRows = "rows-can-be-counted"

// changesRows reports whether a statement may change rows that are there, or add some.
// What makes or drops whole objects is not measured in rows.
func changesRows(st *query.Statement) bool {
	switch st.Kind {
	case query.Unknown, query.CopyFrom, query.Truncate:
		return true
	case query.Select, query.Call, query.Do, query.FunctionCall, query.CopyTo, query.Declare, query.Explain, query.Fetch:
		return st.Writes || opaque(st)
	}
	return counts(st.Kind)
}

// opaque reports whether a statement calls what may do anything.
func opaque(st *query.Statement) bool {
	return st.Has(query.UnknownRoutine) || st.Has(query.DynamicSQL)
}

// counts reports whether the database tells with the end of a statement how many rows
// it changed.
func counts(kind query.Kind) bool {
	switch kind {
	case query.Insert, query.Update, query.Delete, query.Merge:
		return true
	}
	return false
}

// tooMany says why a statement was undone.
func (j *job) tooMany(n int64) postgres.Say {
	say := postgres.Say{Severity: "ERROR", Code: "42501", Hint: "say more exactly which rows you mean, or change fewer at a time",
		Message: fmt.Sprintf("refused by policy: this changes %s, and no more than %s may be changed at once; nothing of it was kept", rows(n), rows(j.most))}
	if n < 0 {
		say.Message = fmt.Sprintf("refused by policy: the database did not say how many rows this changes, and no more than %s may be changed at once; nothing of it was kept", rows(j.most))
		say.Hint = "send the INSERT, UPDATE, DELETE or MERGE by itself"
	}
	return say
}

// rows writes a number of them for people: "1 row", "52,000 rows".
func rows(n int64) string {
	if n == 1 {
		return "1 row"
	}
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text + " rows"
}
