package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

const village = `
create table people (id int primary key, name text, email text, city int);
insert into people select i, 'n' || i, 'p' || i || '@example.com', i % 10 from generate_series(1, 1000) i;
create index on people (city);
create table visits (id int generated always as identity, person int references people on delete cascade, what text);
insert into visits (person, what) select i, 'seen' from generate_series(1, 100) i;
analyze;`

// looked waits until an ask has been looked into.
func (th *through) looked(t *testing.T, id string) api.Ask {
	t.Helper()
	var found api.Ask
	eventually(t, "the ask has its evidence", func() bool {
		for _, a := range th.Asks(auditor) {
			if a.ID == id {
				found = a
			}
		}
		return found.Evidence != nil && found.Evidence.Done
	})
	return found
}

// What an approver is shown: who, from where, why, what it touches, how many rows of
// how many, locks, what was hidden and what came before.
func TestApproverSeesWhatAStatementWouldDo(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	ada := person("ada")
	conn := connect(t, th.as(ada)+"&application_name=report")
	if _, err := run(conn, "set sluice.reason = 'Ticket 7: it''s Ada''s'"); err != nil {
		t.Fatal(err)
	}
	locker := connect(t, th.direct+"&application_name=nightly")
	if _, err := locker.Exec(t.Context(), "begin; lock table people in row exclusive mode"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "update people set name = $1 where city = $2 returning id, email", "new", 3)
		done <- err
	}()
	ask := th.looked(t, th.held(t, 1)[0].ID)
	ev := ask.Evidence
	if ev.Why != "Ticket 7: it's Ada's" || ev.From == "" || ev.Client != "report" {
		t.Errorf("it says %+v", ev)
	}
	if ev.Rows == nil || *ev.Rows < 80 || *ev.Rows > 120 || ev.Table != "public.people" || ev.Whole != 1000 {
		t.Errorf("the estimate is %v of %d in %s: %v", ev.Rows, ev.Whole, ev.Table, ev.Notes)
	}
	if !strings.Contains(strings.Join(ev.Locks, ";"), "RowExclusiveLock on public.people") || !strings.Contains(strings.Join(ev.Locks, ";"), "by nightly") {
		t.Errorf("locks: %q", ev.Locks)
	}
	if len(ev.Masked) != 1 || ev.Masked[0] != "email: email" || len(ev.Clear) != 0 || strings.Join(ev.Writes, ",") == "" {
		t.Errorf("masked %q, clear %q, writes %q", ev.Masked, ev.Clear, ev.Writes)
	}
	if len(ask.Params) != 2 || ask.Params[1] != "3" {
		t.Errorf("parameters %q", ask.Params)
	}
	if h := strings.Join(ev.History, ";"); !strings.Contains(h, "no statement of this shape was sent here in 30 days") || !strings.Contains(h, "asks of this person here: 0") {
		t.Errorf("history %q", ev.History)
	}
	th.approve(t, ask.ID)
	if err := await(t, done); err != nil {
		t.Fatal(err)
	}
	if asked := th.events(audit.Asked); !strings.Contains(asked[0].Detail, "Ticket 7: it's Ada's") {
		t.Errorf("recorded as %q", asked[0].Detail)
	}

	again := background(conn, "update people set name = 'x' where city = 4 returning id, email")
	ask = th.looked(t, th.held(t, 1)[0].ID)
	if h := strings.Join(ask.Evidence.History, ";"); !strings.Contains(h, "asks of this person here: 1 in 30 days, 1 of them approved") {
		t.Errorf("history %q", ask.Evidence.History)
	}
	th.deny(t, ask.ID)
	wantCode(t, await(t, again), "42501")
}

// An approver's look has an ask looked into before what waits longer; who may only see
// it, or may not, hastens nothing.
func TestLookingAtAnAsk(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	ada := person("ada")
	release := th.Stall("orders")
	t.Cleanup(release) // a gateway that is kept from asking does not end
	var done []<-chan error
	for i := range 5 {
		done = append(done, background(connect(t, th.as(ada)), fmt.Sprintf("update people set name = 'x' where id = %d", i)))
		th.held(t, i+1)
	}
	last := th.held(t, 5)[4]
	if a, err := th.Look(t.Context(), ada, last.ID); err != nil || a.Evidence.Done {
		t.Errorf("who asked is shown %+v, %v", a.Evidence, err)
	}
	if _, err := th.Look(t.Context(), person("eve"), last.ID); err == nil {
		t.Error("somebody else is shown it")
	}
	if _, err := th.Look(t.Context(), approver, "nnnnn"); err == nil {
		t.Error("what does not wait is shown")
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := th.Look(gone, approver, last.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("who left is told %v", err)
	}
	looked := make(chan api.Ask, 1)
	go func() {
		a, err := th.Look(t.Context(), approver, last.ID)
		if err != nil {
			t.Error(err)
		}
		looked <- a
	}()
	eventually(t, "it comes before the others", func() bool { return th.Wanted("orders") == 1 })
	release()
	if a := <-looked; !a.Evidence.Done || a.Evidence.Rows == nil || *a.Evidence.Rows != 1 || a.ID != last.ID {
		t.Errorf("the approver is shown %+v", a.Evidence)
	}
	for _, a := range th.held(t, 5) {
		a = th.looked(t, a.ID)
		if h := strings.Join(a.Evidence.History, ";"); !strings.Contains(h, "5 wait for people now") {
			t.Errorf("history %q", a.Evidence.History)
		}
		th.deny(t, a.ID)
	}
	for _, d := range done {
		wantCode(t, await(t, d), "42501")
	}
}

func (th *through) deny(t *testing.T, id string) {
	t.Helper()
	if _, err := th.Answer(approver, id, api.AskDecision{}); err != nil {
		t.Fatal(err)
	}
}

// Attack: have the gateway's own connection run code while it plans what an approver
// is to see.
func TestPlanningForApproversRunsNoCode(t *testing.T) {
	th := start(t, "prod", village+`
create sequence ran;
create function evil(int) returns int immutable language plpgsql as 'begin perform nextval(''ran''); return $1; end';
create function sneaky(int) returns bool immutable language plpgsql as 'begin perform nextval(''ran''); return true; end';
create operator === (leftarg = int, rightarg = int, function = int4eq);
create operator !!! (rightarg = int, function = sneaky);`, heldBy(t, "{groups: [dba]}"))
	for _, sql := range []string{
		"update people set name = 'x' where id = evil(7)", "delete from people where !!! 3", "update people set name = 'x' where city = (select evil(1))",
		"do $$ begin execute format('select 1'); end $$", "update people set name = 'a' where id = 1; update people set name = 'b' where id = 2",
	} {
		conn := connect(t, th.as(person("ada")))
		done := background(conn, sql)
		ask := th.looked(t, th.held(t, 1)[0].ID)
		if ask.Evidence.Rows != nil || !strings.Contains(strings.Join(ask.Evidence.Notes, ""), "no estimate") {
			t.Errorf("%s was planned: %+v", sql, ask.Evidence)
		}
		th.deny(t, ask.ID)
		wantCode(t, await(t, done), "42501")
	}
	if n := count(t, th, "select count(*) from pg_sequences where sequencename = 'ran' and last_value is not null"); n != 0 {
		t.Error("code ran")
	}
}

// What a session calls by its own names is not planned as if it were another's.
func TestPlanningForApproversMeansWhatTheSessionMeans(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	conn := connect(t, th.as(person("ada")))
	if _, err := run(conn, "set search_path = pg_temp, public"); err != nil {
		t.Fatal(err)
	}
	done := background(conn, "delete from people where id = 3")
	if ask := th.looked(t, th.held(t, 1)[0].ID); ask.Evidence.Rows != nil {
		t.Errorf("planned under another path: %+v", ask.Evidence)
	}
	th.deny(t, th.held(t, 1)[0].ID)
	wantCode(t, await(t, done), "42501")
}

// A reason is data of ours: its letters stay as they are, and no value of it is taken
// for another setting.
func TestReasonIsHeardAsWritten(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	conn := connect(t, th.as(person("ada")))
	for sql, want := range map[string]string{
		"SET sluice.reason = 'Ticket 12'": "Ticket 12", "set session sluice.reason to 'ÄÖ ''quoted'''": "ÄÖ 'quoted'", "reset sluice.reason": "",
		"set sluice.reason = 'x'; set sluice.reason to default": "", "SET LOCAL sluice.reason = E'a'": "a",
	} {
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		done := background(conn, "delete from people where id = 3")
		ask := th.held(t, 1)[0]
		if ask.Evidence.Why != want {
			t.Errorf("%s is heard as %q", sql, ask.Evidence.Why)
		}
		th.deny(t, ask.ID)
		wantCode(t, await(t, done), "42501")
	}
}

// History counts all that came before, however long ago in a long record, and never the
// statement that waits itself.
func TestHistoryIsCountedByTheIndex(t *testing.T) {
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"))
	ada, cy := connect(t, th.as(person("ada"))), connect(t, th.as(person("cy")))
	for i := range 3 {
		done := background(ada, fmt.Sprintf("update people set name = 'a%d' where id = %d", i, i))
		if ask := th.held(t, 1)[0]; i < 2 {
			th.approve(t, ask.ID)
			if err := await(t, done); err != nil {
				t.Fatal(err)
			}
		} else {
			th.deny(t, ask.ID)
			wantCode(t, await(t, done), "42501")
		}
	}
	for i := range 3000 { // so that a look at the end of the record does not find them
		if _, err := cy.Exec(t.Context(), "select $1::int", i); err != nil {
			t.Fatal(err)
		}
	}
	done := background(cy, "update people set name = 'c' where id = 4")
	ask := th.looked(t, th.held(t, 1)[0].ID)
	h := strings.Join(ask.Evidence.History, "; ")
	for _, want := range []string{"statements of this shape: 3 in 30 days, 0 of them by the same person, the last ", "3 waited for people, 2 of those ran", "asks of this person here: 0 in 30 days"} {
		if !strings.Contains(h, want) {
			t.Errorf("history %q does not say %q", h, want)
		}
	}
	th.deny(t, ask.ID)
	wantCode(t, await(t, done), "42501")
}
