package postgres

import (
	"errors"
	"net"
	"testing"

	"github.com/sluicehq/sluice/wire"
)

func unitEnter(t *testing.T, l *ledger, x *exchange) *exchange {
	t.Helper()
	if owed, err := l.enter(x); err != nil || !owed {
		t.Fatalf("enter %q: owed %v, %v", x.kind, owed, err)
	}
	return x
}

func unitParse(name, sql string) *exchange {
	return &exchange{kind: 'P', prepared: &prepared{Prepared: &wire.Prepared{Name: name, SQL: sql}}}
}

// unitKnown is a ledger in which a statement and a portal are known from a group
// that was answered, with a transaction open.
func unitKnown(t *testing.T, name, sql string) *ledger {
	t.Helper()
	l := newLedger()
	unitEnter(t, l, unitParse(name, sql))
	l.pop()
	unitBind(t, l, name, name)
	l.pop()
	l.ready(unitEnter(t, l, &exchange{kind: 'S'}), 'T')
	return l
}

func unitBind(t *testing.T, l *ledger, name, statement string) *exchange {
	t.Helper()
	return unitEnter(t, l, &exchange{kind: 'B', name: name, portal: &portal{prepared: l.statement(statement)}})
}

func unitClose(t *testing.T, l *ledger, name string) *exchange {
	t.Helper()
	return unitEnter(t, l, &exchange{kind: 'C', target: 'S', name: name, prepared: l.statement(name)})
}

// unitMeans checks what a statement's name means; "" is nothing.
func unitMeans(t *testing.T, l *ledger, name, want string) {
	t.Helper()
	got := ""
	if p := l.statement(name); p != nil {
		got = p.SQL
	}
	if got != want {
		t.Errorf("%q means %q, want %q", name, got, want)
	}
}

// The server never saw the second Parse of the unnamed statement; were its meaning
// kept, the old one would run under the judgement of the new.
func TestLedgerSkippedParseRestoresTheOldMeaning(t *testing.T) {
	l := unitKnown(t, "", "delete from people")
	x := unitEnter(t, l, &exchange{kind: 'E'})
	p1, p2 := unitEnter(t, l, unitParse("", "select 1")), unitEnter(t, l, unitParse("", "select 2"))
	unitMeans(t, l, "", "select 2")
	skipped := l.fail(x)
	if len(skipped) != 2 || skipped[0] != p1 || skipped[1] != p2 {
		t.Errorf("skipped %v", skipped)
	}
	unitMeans(t, l, "", "delete from people")
}

// A Parse that the server itself refuses has done away with the unnamed statement.
func TestLedgerRefusedParseOfTheUnnamedLeavesNothing(t *testing.T) {
	l := unitKnown(t, "", "select 1")
	l.fail(unitEnter(t, l, unitParse("", "syntax error")))
	unitMeans(t, l, "", "")
}

func TestLedgerSkippedBindRestoresTheOldPortal(t *testing.T) {
	l := unitKnown(t, "s", "delete from people")
	unitEnter(t, l, unitParse("t", "select 1"))
	l.pop()
	x := unitEnter(t, l, &exchange{kind: 'E'})
	unitBind(t, l, "s", "t")
	if p, _ := l.portal("s"); p.prepared.SQL != "select 1" {
		t.Errorf("the portal runs %q", p.prepared.SQL)
	}
	l.fail(x)
	if p, _ := l.portal("s"); p == nil || p.prepared.SQL != "delete from people" {
		t.Errorf("the portal is %+v", p)
	}
}

// The server refuses a used name (42P05) and keeps the old statement under it.
func TestLedgerUsedNameIsRefused(t *testing.T) {
	l := unitKnown(t, "s", "delete from people")
	if _, err := l.enter(unitParse("s", "select 1")); !errors.Is(err, errTwice) {
		t.Errorf("got %v", err)
	}
	unitMeans(t, l, "s", "delete from people")
	if len(l.list) != 0 || !l.quiet() {
		t.Error("an answer is owed for a message that was refused")
	}
	// Closed in a group that is not known to have run: the name may still be used.
	unitClose(t, l, "s")
	unitEnter(t, l, &exchange{kind: 'S'})
	if _, err := l.enter(unitParse("s", "select 1")); !errors.Is(err, errTwice) {
		t.Errorf("after a Close in another group: got %v", err)
	}
}

func TestLedgerCloseThenParseInOneGroup(t *testing.T) {
	l := unitKnown(t, "s", "select 1")
	c := unitClose(t, l, "s")
	unitEnter(t, l, unitParse("s", "select 2"))
	unitMeans(t, l, "s", "select 2")
	l.forget(c)
	l.pop()
	unitMeans(t, l, "s", "select 2") // the Close was of the old one
	l.fail(l.head())
	unitMeans(t, l, "s", "") // closed, and the new one failed
}

func TestLedgerCloseThenParseSkippedTogether(t *testing.T) {
	l := unitKnown(t, "s", "delete from people")
	x := unitEnter(t, l, &exchange{kind: 'E'})
	unitClose(t, l, "s")
	unitEnter(t, l, unitParse("s", "select 1"))
	l.fail(x)
	unitMeans(t, l, "s", "delete from people")
}

func TestLedgerUnknownNames(t *testing.T) {
	l := newLedger()
	unitMeans(t, l, "s", "")
	if p, more := l.portal("s"); p != nil || more {
		t.Errorf("portal %+v", p)
	}
	if p := unitBind(t, l, "p", "s").portal; p.prepared != nil || l.columnsKnown(p) {
		t.Error("a portal of an unknown statement is known")
	}
	l.forget(unitClose(t, l, "s"))
}

// A changed name is in doubt for the next group until the answer has come.
func TestLedgerChangedNameMustSettle(t *testing.T) {
	l := unitKnown(t, "", "delete from people")
	unitEnter(t, l, unitParse("", "select 1"))
	if l.unsettled() {
		t.Error("within its own group the name is in doubt")
	}
	s := unitEnter(t, l, &exchange{kind: 'S'})
	if !l.unsettled() {
		t.Error("the next group may rely on a Parse that may be skipped")
	}
	l.pop()
	l.ready(s, 'I')
	if l.unsettled() {
		t.Error("an answered group is in doubt")
	}
	q := unitEnter(t, l, &exchange{kind: 'Q', renames: true})
	l.ready(q, 'I')
	if !l.unsettled() {
		t.Error("SQL that renames is no doubt before it was dealt with")
	}
	l.dealt(1)
	if l.unsettled() {
		t.Error("doubt remains")
	}
}

func TestLedgerSkipsUntilSync(t *testing.T) {
	l := newLedger()
	x := unitEnter(t, l, unitParse("", "x"))
	a, b := unitEnter(t, l, &exchange{kind: 'E', renames: true}), unitEnter(t, l, &exchange{kind: 'D'})
	s := unitEnter(t, l, &exchange{kind: 'S'})
	next := unitEnter(t, l, unitParse("t", "select 1"))
	if got := l.fail(x); len(got) != 2 || got[0] != a || got[1] != b {
		t.Errorf("skipped %v", got)
	}
	if l.head() != s || l.skipping || l.renaming != 0 {
		t.Error("the Sync that was sent does not come next")
	}
	l.ready(s, 'I')
	if l.head() != next {
		t.Error("what follows the Sync was lost")
	}
	// An error with no Sync sent yet: what comes is discarded, and owes nothing.
	l.fail(next)
	for _, kind := range []byte("PBDECHQ") {
		if owed, err := l.enter(&exchange{kind: kind}); owed || err != nil {
			t.Errorf("%q after an error: owed %v, %v", kind, owed, err)
		}
	}
	if l.quiet() || l.head() != nil {
		t.Error("the session is quiet in the middle of a failed group")
	}
	l.ready(unitEnter(t, l, &exchange{kind: 'S'}), 'I')
	if !l.quiet() {
		t.Error("the session is not quiet after Sync")
	}
}

func TestLedgerCopyTurns(t *testing.T) {
	l := newLedger()
	x := unitEnter(t, l, &exchange{kind: 'Q', copies: true})
	check := func(when string, kind byte, want turn) {
		t.Helper()
		if got := l.turn(kind); got != want {
			t.Errorf("%s: turn of %q is %d, want %d", when, kind, got, want)
		}
	}
	check("before it is known", 'S', later)
	check("before it is known", 'Q', later)
	if !l.reading(x) {
		t.Fatal("a COPY may not read")
	}
	check("while data is read", 'S', over)
	check("while data is read", 'Q', never)
	if pass, err := l.await('S', func() error { return nil }); pass || err != nil {
		t.Errorf("Sync while data is read: %v, %v", pass, err)
	}
	_, err := l.await('P', func() error { return nil })
	unitViolation(t, err)
	l.copied(7, false)
	l.copied(5, true)
	if n := x.taken.Load(); n != 12 {
		t.Errorf("counted %d bytes", n)
	}
	check("after the end of data", 'S', later) // a second COPY may follow in the Query
	l.ready(x, 'I')
	check("after the answer", 'S', now)
	l.copied(9, true) // leftover of a COPY that failed
	check("after leftover data", 'Q', now)
	if l.reading(&exchange{kind: 'Q'}) {
		t.Error("the server reads for a statement that is no COPY")
	}
	e := unitEnter(t, l, &exchange{kind: 'E', copies: true})
	if !l.reading(e) || l.reading(e) {
		t.Error("an Execute reads once")
	}
	l.uncopy(e)
	check("after it failed", 'S', now)
	l.close()
	check("after the end", 'S', ended)
	if _, err := l.await('S', nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestLedgerLimitsNames(t *testing.T) {
	l := newLedger()
	for i := range maxNames {
		name := string(rune(i + 0x10000))
		l.statements[name], l.portals[name] = &prepared{}, &portal{}
	}
	if _, err := l.enter(unitParse("one more", "")); !errors.Is(err, errNames) {
		t.Errorf("Parse: got %v", err)
	}
	if _, err := l.enter(&exchange{kind: 'B', name: "one more", portal: &portal{}}); !errors.Is(err, errNames) {
		t.Errorf("Bind: got %v", err)
	}
	if err := l.define(&wire.Prepared{Name: "m"}); !errors.Is(err, errNames) {
		t.Errorf("PREPARE: got %v", err)
	}
	if err := l.definePortal(&wire.Prepared{Name: "m"}); !errors.Is(err, errNames) {
		t.Errorf("DECLARE: got %v", err)
	}
}

// DISCARD and the end of a transaction leave alone what the server leaves alone.
func TestLedgerEndsOfNames(t *testing.T) {
	l := unitKnown(t, "", "select 1")
	if err := errors.Join(l.define(&wire.Prepared{Name: "a", SQL: "x"}), l.definePortal(&wire.Prepared{Name: "c", SQL: "y"})); err != nil {
		t.Fatal(err)
	}
	l.undefine("")
	unitMeans(t, l, "a", "")
	unitMeans(t, l, "", "select 1")
	l.ready(unitEnter(t, l, &exchange{kind: 'S'}), 'I')
	if p, _ := l.portal(""); p != nil {
		t.Error("a portal outlives its transaction")
	}
	if p, _ := l.portal("c"); p == nil {
		t.Error("a cursor WITH HOLD is forgotten")
	}
}
