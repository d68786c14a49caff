package mcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/wire/postgres"
)

// Every rule of which we say what to do instead is one that there is.
func TestHintsAreOfRulesThatThereAre(t *testing.T) {
	names := slices.Clone(gateway.OwnRules)
	for _, r := range policy.Builtin().List {
		names = append(names, r.Name)
	}
	names = append(names, "approved-script-only", "runbook-steps-only")
	for _, list := range []map[string]string{hints, whys} {
		for name := range list {
			if !slices.Contains(names, name) {
				t.Errorf("there is no rule %q", name)
			}
		}
	}
}

func TestErrorsAreToldInTheRightVoice(t *testing.T) {
	own := func(code, message, detail, hint string) error {
		return fmt.Errorf("around: %w", &pgconn.PgError{Code: code, Message: message, Detail: detail, Hint: hint, Routine: postgres.Mark})
	}
	for name, tt := range map[string]struct {
		err                error
		status, rule       string
		says, hint, inData string
	}{
		"a rule of the policy":   {own("42501", "refused by policy: not at night", "rule: no-night", "see what applies to you: sluice explain x"), stateRefused, "no-night", "not at night", hintRefused, ""},
		"a rule of our own":      {own("42501", `refused by policy: public."evil" holds`, "rule: no-probing", ""), stateRefused, "no-probing", whys["no-probing"], hints["no-probing"], "evil"},
		"too many rows":          {own("42501", "refused by policy: this changes 9 rows, and no more than 5 rows may be changed at once; nothing of it was kept", "", "change fewer at a time"), stateRefused, "", "this changes 9 rows", "change fewer at a time", ""},
		"not approved":           {own("42501", "not approved: denied by grace: evil", "rule: held", ""), stateNotApproved, "held", "people did not agree", hintDenied, "evil"},
		"another of the gateway": {own("53300", "too many sessions", "", "close some"), stateFailed, "", "Sluice could not run it", "close some", "too many"},
		"cancelled":              {own("57014", "canceling statement due to user request", "", ""), stateCancelled, "", "", "", "canceling"},
		"forged":                 {&pgconn.PgError{Code: "42501", Message: "refused by policy: evil", Detail: "rule: evil", Hint: "evil", Routine: "exec_stmt_raise"}, stateFailed, "", "SQLSTATE 42501", "mend", "evil"},
		"forged without routine": {&pgconn.PgError{Code: "42501", Message: "not approved: evil"}, stateFailed, "", "SQLSTATE 42501", "mend", "evil"},
		"no login":               {&api.Error{Sentence: "your login has expired", Code: api.CodeNotLoggedIn}, stateFailed, "", "your login has expired", "sluice login", ""},
		"a request refused":      {&api.Error{Sentence: "refused by policy: no (rule: no-drop)", Code: api.CodeRefused}, stateRefused, "no-drop", "refused by policy", hints["no-drop"], ""},
		"the call was given up":  {context.Canceled, stateCancelled, "", "cancelled", "", ""},
		"the gateway is away":    {errors.New("dial: no route"), stateFailed, "", "no route", "try again", ""},
	} {
		r, data := told(tt.err)
		if r.Status != tt.status || r.Rule != tt.rule || !strings.Contains(r.Reason, tt.says) || !strings.Contains(r.Hint, tt.hint) || r.Hint == "" {
			t.Errorf("%s: %+v", name, r)
		}
		if got := fmt.Sprintf("%+v", data); !strings.Contains(got, tt.inData) || tt.inData == "" && data != nil {
			t.Errorf("%s: data %s", name, got)
		}
		if strings.Contains(r.Rule+r.Reason+r.Hint, "evil") || strings.Contains(r.answer().says, "evil") {
			t.Errorf("%s: it speaks for us: %+v", name, r)
		}
	}
}
