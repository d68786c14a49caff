package cmd

import (
	"strings"
	"sync"
	"testing"

	"github.com/sluicehq/sluice/runbook"
	"github.com/sluicehq/sluice/tui"
)

// What the screen lists, plans and runs is what the gateway lets the person do, in their
// own name; what waits for people is told and goes on when they have answered.
func TestScreenRunsRunbooksAsThePerson(t *testing.T) {
	r := newRig(t)
	r.holdWrites()
	dir := books(t, map[string]string{
		"ages": ages(false), "broken": "title: x\n", "far": strings.Replace(ages(false), "connection: orders", "connection: elsewhere", 1),
		"jobs": strings.Replace(ages(false), "TRANSACTION", "", 1) + "who: {kinds: [job]}\n", "others": ages(false) + "who: {groups: [boss]}\n",
	})
	b, err := r.a.screenBooks(t.Context(), r.gw, dir)
	must(t, err)
	list, others, err := b.List(t.Context())
	must(t, err)
	if len(list) != 2 || list[0].Name != "ages" || list[1].Problem == "" || others != 3 {
		t.Fatalf("%+v, %d others", list, others)
	}
	bound, err := list[0].Bind(map[string]any{"by": "3"})
	must(t, err)
	plan, err := b.Plan(t.Context(), list[0], bound)
	must(t, err)
	if len(plan) != 3 || plan[0].Effect != "hold" || strings.Join(plan[0].Approvers, " ") != "dba" || plan[0].Rule != "writes" || strings.Join(plan[0].Writes, " ") != "public.people" {
		t.Errorf("%+v", plan)
	}
	approving := make(chan error, 1) // one result, read below
	answer := sync.OnceFunc(func() {
		go func() {
			for range 3 {
				if err := approveNext(t.Context(), r.boss); err != nil {
					approving <- err
					return
				}
			}
			approving <- nil
		}()
	})
	var held, done int
	state, err := b.Run(t.Context(), list[0], bound, "ticket 7", func(n tui.BookNews) {
		if n.Held != "" {
			held++
			answer()
		}
		if n.Event.What == runbook.StepDone {
			done++
		}
	})
	must(t, <-approving)
	r.ends(state, err, runbook.Done, "", "24 25 26")
	if held < 3 || done != 3 {
		t.Errorf("it was told of %d holds and %d steps", held, done)
	}
	if out := r.a.err; strings.Contains(out.(interface{ String() string }).String(), "waiting") {
		t.Error("it writes on the screen")
	}
	if b, err := r.a.screenBooks(t.Context(), r.gw, t.TempDir()+"/none"); err == nil || b != nil {
		t.Errorf("a directory that is not there: %v, %v", b, err)
	}
}
