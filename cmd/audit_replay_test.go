package cmd

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// longAgo is a record with one session of many statements, between which others ran.
func longAgo(t *testing.T, dir string, statements int) (at time.Time) {
	t.Helper()
	at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	log, err := audit.Open(audit.Config{Dir: dir, Origin: "sluice/test", Now: time.Now})
	must(t, err)
	add := func(ev audit.Event) string {
		tk, err := log.Append(ev)
		must(t, err)
		return tk.ID
	}
	by := audit.Event{Session: "s-long", Who: "ada", Subject: "ada", Connection: "orders", From: "10.0.0.1:5000", Client: "psql"}
	for i := range statements {
		ev := by
		ev.Kind, ev.Time, ev.SQL, ev.Effect, ev.Rule = audit.Decided, at.Add(time.Duration(i)*time.Second), fmt.Sprintf("select %d", i), "allow", "default"
		if i == statements-1 {
			ev.Time, ev.SQL = at.Add(24*time.Hour), "select 'last\x1b[2J'"
		}
		end := by
		end.Of, end.Kind, end.Time, end.Outcome, end.Rows, end.Masked, end.MaskedCols = add(ev), audit.Finished, ev.Time, "ok", 3, 2, []string{"email:email"}
		add(audit.Event{Kind: audit.Decided, Time: ev.Time, Session: "s-other", Who: "eve", Subject: "eve", Connection: "orders", SQL: "select 'of others'", Effect: "allow"})
		add(end)
	}
	must(t, log.Close())
	return at
}

// A session of a copy of the record is shown again, page by page, in every form, with or
// without an index.
func TestReplayOfACopy(t *testing.T) {
	const n = 2*replayPage + 50
	record := filepath.Join(t.TempDir(), "record")
	at := longAgo(t, record, n)
	w := &town{t: t}
	replay := func(in string, args ...string) (int, string, string) {
		return w.run(t.TempDir(), in, append([]string{"audit", "replay", "--record", record}, args...)...)
	}
	code, out, errs := replay("", "s-long")
	if code != exitOK || !strings.HasPrefix(out, "Session s-long of ada on orders, from 10.0.0.1:5000 with psql, 2026-03-01:\n") || strings.Contains(out, "\x1b") ||
		!strings.HasSuffix(out, fmt.Sprintf("statement %d: select 'last␛[2J'\n             allowed by default; ok, 3 rows, 2 values hidden (email:email) in 0s\n%d statements shown.\n", n, n)) ||
		!strings.Contains(out, "\n… 23h52m later\n") || strings.Contains(out, "of others") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	for _, format := range []string{"json", "jsonl"} {
		var events []audit.Event
		code, out, errs := replay("", "s-long", "-o", format)
		if format == "jsonl" {
			out = "[" + strings.Join(strings.Split(strings.TrimSpace(out), "\n"), ",") + "]"
		}
		if err := json.Unmarshal([]byte(out), &events); code != exitOK || err != nil || len(events) != n || events[1].SQL != "select 1" || events[1].Outcome != "ok" {
			t.Errorf("%s: %d, %v, %d events, %s", format, code, err, len(events), errs)
		}
	}
	code, out, _ = replay("", "s-long", "--since", at.Add(100*time.Second).Format(time.RFC3339), "--until", at.Add(102*time.Second).Format(time.RFC3339))
	if code != exitOK || !strings.Contains(out, ": select 100\n") || !strings.Contains(out, ": select 101\n") || !strings.HasSuffix(out, "2 statements shown.\n") {
		t.Errorf("%d: %s", code, out)
	}
	if code, out, errs = replay("\n\n", "s-long", "--step"); code != exitOK || !strings.HasSuffix(out, "3 statements shown.\n") {
		t.Errorf("step by step: %d: %s%s", code, out, errs)
	}
	began := time.Now()
	if code, _, errs = replay("", "s-long", "--until", at.Add(2*time.Second).Format(time.RFC3339), "--speed", "10x"); code != exitOK || time.Since(began) < 100*time.Millisecond {
		t.Errorf("%d, after %s: %s", code, time.Since(began), errs)
	}
	for _, c := range []struct {
		args []string
		code int
		errs string
	}{
		{[]string{"s-none"}, exitError, "nothing of a session"}, {[]string{"s-long", "--speed", "fast"}, exitUsage, "a speed is"},
		{[]string{"s-long", "--since", "soon"}, exitUsage, "--since is"}, {nil, exitUsage, ""},
	} {
		if code, _, errs := replay("", c.args...); code != c.code || !strings.Contains(errs, c.errs) || !strings.Contains(errs, "hint:") {
			t.Errorf("%q: %d: %s", c.args, code, errs)
		}
	}
}

// A gateway shows sessions to its auditors, and their own to others; what is hidden in the
// record is hidden here; and the record says that it was asked.
func TestReplayByAGateway(t *testing.T) {
	w := newTown(t)
	if code, _, errs := w.run(w.home, "", "exec", "orders", "-c", "select email from people where email = 'p1@example.com'; drop table people"); code != exitRefused {
		t.Fatal(code, errs)
	}
	_, out, _ := w.run(w.boss, "", "audit", "query", "--kind", "decided", "-o", "json")
	var events []audit.Event
	must(t, json.Unmarshal([]byte(out), &events))
	session := events[0].Session
	for name, home := range map[string]string{"an auditor": w.boss, "who it was": w.home} {
		code, out, errs := w.run(home, "", "audit", "replay", session)
		if code != exitOK || !strings.Contains(out, "connected") || !strings.Contains(out, "refused by ") || strings.Contains(out, "p1@example.com") || !strings.Contains(out, "2 statements shown.") {
			t.Errorf("%s: %d: %s%s", name, code, out, errs)
		}
	}
	if code, out, errs := w.run(w.boss, "", "exec", "orders", "-c", "select 'by the boss'"); code != exitOK {
		t.Fatal(code, out, errs)
	}
	_, out, _ = w.run(w.boss, "", "audit", "query", "--text", "by the boss", "--kind", "select", "-o", "json")
	must(t, json.Unmarshal([]byte(out), &events))
	if code, out, _ := w.run(w.home, "", "audit", "replay", events[0].Session); code != exitError || strings.Contains(out, "by the boss") {
		t.Errorf("somebody else's session: %d: %s", code, out)
	}
	_, out, _ = w.run(w.boss, "", "audit", "query", "--kind", "questioned", "--who", "ada", "-o", "json")
	if !strings.Contains(out, session) {
		t.Errorf("who asked is not in the record: %s", out)
	}
}
