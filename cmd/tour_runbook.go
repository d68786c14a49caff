package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/runbook"
)

// erased is whose data the tour has erased.
const erased = "42"

// runbook runs one that comes with Sluice: Grace approves the whole run, which then is
// asked about no more.
func (t *tourist) runbook(ctx context.Context) error {
	dir, err := t.w.shelf()
	if err != nil {
		return err
	}
	own := t.w.playing(ada)
	fmt.Fprintf(t.out, "   ada$ sluice runbook run erase-customer -p customer=%s --reason 'ticket 7'\n", erased)
	approved := make(chan error, 1) // one result, read below
	ask := sync.OnceFunc(func() { go func() { approved <- t.approveRun(ctx) }() })
	say := func(format string, args ...any) {
		format, _, _ = strings.Cut(format, "; another time")
		t.answer(format, args[:strings.Count(format, "%s")]...)
		ask() // it waits, which is what is told first
	}
	tell := func(e runbook.Event) {
		if e.Step == "find" || e.Step == "person" || e.Step == "check" { // of ten
			if line := t.eventLine(e); line != "" {
				t.answer("%s", line)
			}
		}
	}
	state, err := own.runRunbook(ctx, t.w.ada, shelf{dir: dir}, "erase-customer", map[string]any{"customer": erased}, runFlags{reason: "ticket 7", wait: stepTime}, tell, say)
	if err != nil {
		return err
	}
	if err := <-approved; err != nil {
		return err
	}
	t.answer("run %s: %s", state.Run, statusWords[state.Status])
	left, err := t.truth(ctx, "select first_name || ' ' || (select count(*) from addresses where customer_id = c.id) from customers c where id = "+erased)
	if err != nil || left != "erased 0" {
		return fmt.Errorf("of the customer is left %q: %w", left, err)
	}
	t.why("one transaction, in her own name; the record says which step of which file each statement was")
	return nil
}

// approveRun waits for what Ada asks, and plays Grace.
func (t *tourist) approveRun(ctx context.Context) error {
	for {
		var asks []api.Ask
		if err := t.w.grace.Call(ctx, http.MethodGet, api.AsksPath, nil, &asks); err != nil {
			return err
		}
		if len(asks) == 0 {
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		if !strings.Contains(asks[0].SQL, "-- runbook erase-customer") || !strings.Contains(asks[0].SQL, `-- $1 = "`+erased+`"`) {
			return errors.New("grace does not see what the run would do")
		}
		fmt.Fprintf(t.out, "   grace$ sluice approvals approve %s    %s\n", asks[0].ID, t.paint(green, "approved"))
		return t.w.grace.Call(ctx, http.MethodPost, askPath(asks[0].ID), api.AskDecision{Grant: true, Reason: "as the law asks", Seal: asks[0].Seal}, nil)
	}
}

// runLines has one line in place of all statements of a run.
func runLines(list []audit.Event) (lines []audit.Event) {
	at := map[string]int{}
	count := map[string]int{}
	for _, ev := range list {
		if ev.RunbookRun == "" {
			lines = append(lines, ev)
			continue
		}
		if count[ev.RunbookRun]++; count[ev.RunbookRun] == 1 {
			at[ev.RunbookRun] = len(lines)
			lines = append(lines, ev)
		}
	}
	for run, i := range at {
		lines[i].Rule = "" // each had its own
		lines[i].SQL = fmt.Sprintf("%d statements of runbook %s, run %s", count[run], lines[i].Runbook, run)
	}
	return lines
}
