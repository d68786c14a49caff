package mcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
)

// refusal says why something was not done, and what to do instead.
type refusal struct {
	Status string `json:"status"`
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason"`
	Hint   string `json:"hint"`
}

// The states of a statement, and of a call.
const (
	stateDone        = "done"
	stateHeld        = "held"         // it waits for people
	stateRunning     = "running"      //
	stateRefused     = "refused"      // by a rule
	stateNotApproved = "not_approved" // people said no, or nothing
	stateCancelled   = "cancelled"    //
	stateFailed      = "failed"       // the database could not do it
	stateWrong       = "wrong_call"   // of the tool
)

func (r refusal) answer() answer {
	by := "policy"
	if r.Rule != "" {
		by = "rule " + r.Rule
	}
	what := map[string]string{
		stateRefused: "Refused by " + by + ": ", stateNotApproved: "Not approved, as " + by + " asks: ",
		stateCancelled: "Cancelled: ", stateFailed: "It did not work: ", stateWrong: "Nothing was sent: ",
	}[r.Status]
	return answer{says: what + r.Reason + "\nWhat to do instead: " + r.Hint, facts: r, failed: true}
}

func wrong(hint, format string, args ...any) refusal {
	return refusal{Status: stateWrong, Reason: plain(fmt.Sprintf(format, args...)), Hint: hint}
}

// What to do instead, for rules that Sluice itself or the built-in policy has. Rules of
// a policy file say it in their reason.
var hints = map[string]string{
	"agent-reads-only":        "you may only read; if the change is needed, show the person you act for the statement, and let them run it or give you leave to write",
	"session-reads-only":      "query only reads; use execute for what changes something",
	"no-probing":              "do not search, sort or join by parts of personal data; compare whole values with = or IN, or leave the column out",
	"no-masks-written":        "leave the column out of what you write: what you have read of it is a mask and not the value",
	"personal-data-stays":     "keep personal data in the database: do not copy it to files, programs, other servers or other functions",
	"no-change-of-every-row":  "add a WHERE clause that names the rows you mean",
	"unknown-effect-machines": "write it as plain SELECT, INSERT, UPDATE or DELETE statements, without DO, dynamic SQL or functions of which the effect is not known",
	"approved-script-only":    "ask for approval of exactly the text that you want to run, with request_approval",
	"no-other-roles":          "leave SET ROLE out; you have the rights that the connection has",
	"text-means-what-it-says": "leave that setting as it is",
	"no-function-calls":       "call the function in a SELECT",
	"text-is-utf8":            "send valid UTF-8",
	"no-drop":                 "do not drop anything; tell the person you act for, who can put it into a reviewed migration",
	"no-truncate":             "delete the rows you mean with DELETE … WHERE, or tell the person you act for",
}

// whys are what rules of Sluice's own refuse, in words that hold no name out of a
// database. The gateway's reason does, and is handed over as data.
var whys = map[string]string{
	"no-probing":              "it searches, sorts or joins by more than whole values of personal data",
	"no-masks-written":        "it writes a mask where a value belongs",
	"personal-data-stays":     "it takes personal data to where no mask is",
	"names-are-known":         "it names a statement or cursor that this session has not",
	"text-means-what-it-says": "with that setting, statements would mean something else than they say",
	"copy-can-be-read":        "what it copies could not be masked",
	"meaning-has-not-moved":   "what it would do has changed since it was judged",
	"runbook-steps-only":      "a step is not what its runbook may send here, or a condition of the runbook looks at a column that may be masked for you",
}

// inWords parts the reason of a rule into what is said and, if that is no operator's
// text, what is data.
func inWords(rule, reason string) (says string, data any) {
	if why, ok := whys[rule]; ok {
		return why, map[string]string{"reason": reason}
	}
	return plain(reason), nil
}

const (
	hintRefused = "do not send it in another form to get round the rule; explain says what applies without running anything, and the person you act for can ask for approval or for a change of the policy"
	hintDenied  = "tell the person you act for; do not send it again unchanged"
	hintLogin   = "tell the person you act for that their login has ended: they run sluice login in a terminal, and then the same call works again"
)

// policyMark begins what the gateway says of a refusal (SQLSTATE 42501, as PostgreSQL's
// own for a lack of rights).
const policyMark = "refused by policy"

// told makes a refusal of an error. What the database said of the statement is data, as
// it quotes values, and comes apart.
func told(err error) (r refusal, data any) {
	var no *api.Error
	switch pg := pgError(err); {
	case pg != nil:
		return sqlRefusal(pg)
	case errors.As(err, &no) && no.Code == api.CodeNotLoggedIn:
		return refusal{Status: stateFailed, Reason: plain(no.Sentence), Hint: hintLogin}, nil
	case errors.As(err, &no) && no.Code == api.CodeRefused:
		rule := ""
		if _, after, ok := strings.Cut(no.Sentence, "(rule: "); ok {
			rule, _, _ = strings.Cut(after, ")")
		}
		says, data := inWords(rule, no.Sentence)
		return refusal{Status: stateRefused, Rule: plain(rule), Reason: says, Hint: hintFor(rule, hintRefused)}, data
	case errors.As(err, &no):
		return refusal{Status: stateFailed, Reason: plain(no.Sentence), Hint: "list_connections says what there is for you; else tell the person you act for"}, nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return refusal{Status: stateCancelled, Reason: "it was cancelled before it ended", Hint: "ask for less, or send it again if it is still wanted"}, nil
	}
	return refusal{Status: stateFailed, Reason: plain(err.Error()), Hint: "try again in a moment; if it does not help, tell the person you act for"}, nil
}

func hintFor(rule, otherwise string) string {
	if hint, ok := hints[rule]; ok {
		return hint
	}
	return otherwise
}

// said is what a database says of an error.
type said struct {
	SQLState string `json:"sqlstate"`
	Message  string `json:"message"`
	Detail   string `json:"detail,omitempty"`
	Hint     string `json:"hint,omitempty"`
	Position int32  `json:"position,omitempty"` // in the statement, in characters from 1
}

func sqlRefusal(pg *pgconn.PgError) (refusal, any) {
	rule := plain(strings.TrimPrefix(pg.Detail, "rule: "))
	switch {
	case !ours(pg):
	case pg.Code == "42501" && strings.HasPrefix(pg.Message, policyMark):
		says, data := inWords(rule, strings.TrimPrefix(strings.TrimPrefix(pg.Message, policyMark), ": "))
		otherwise := hintRefused
		if rule == "" { // a bound on rows, which says itself what to do
			otherwise = cmp.Or(plain(pg.Hint), hintRefused)
		}
		return refusal{Status: stateRefused, Rule: rule, Reason: says, Hint: hintFor(rule, otherwise)}, data
	case pg.Code == "42501" && strings.HasPrefix(pg.Message, "not approved"):
		return refusal{Status: stateNotApproved, Rule: rule, Reason: "people did not agree; what they said is in the data", Hint: hintDenied}, map[string]string{"reason": pg.Message}
	case pg.Code != "57014":
		return refusal{Status: stateFailed, Reason: "Sluice could not run it; its words are in the data", Hint: cmp.Or(plain(pg.Hint), "tell the person you act for")}, map[string]string{"reason": pg.Message}
	}
	r := refusal{Status: stateFailed, Reason: "the database answered with an error, SQLSTATE " + plain(pg.Code) + "; its words are in the data", Hint: "mend the statement and send it again"}
	switch pg.Code {
	case "57014":
		r.Status, r.Reason, r.Hint = stateCancelled, "it was cancelled, or took longer than one statement may", "ask for less: fewer rows, an indexed condition, a LIMIT"
	case "25006":
		r.Reason, r.Hint = "query runs in a read-only transaction, and this would change something", "use execute if you have it; else you may only read"
	}
	return r, said{SQLState: pg.Code, Message: pg.Message, Detail: pg.Detail, Hint: pg.Hint, Position: pg.Position}
}
