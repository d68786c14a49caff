package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
)

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// book is a record with a little of everything, and its index.
type book struct {
	t   *testing.T
	dir string
	log *audit.Log
	x   *index.Index
	at  time.Time
}

func newBook(t *testing.T) *book {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "record")
	l, err := audit.Open(audit.Config{Dir: dir, Origin: "sluice/test"})
	if err != nil {
		t.Fatal(err)
	}
	x := index.New(index.Config{Record: dir, Flush: l.Flush})
	t.Cleanup(func() { _ = l.Close(); _ = x.Close() })
	return &book{t: t, dir: dir, log: l, x: x, at: start}
}

func (b *book) add(ev audit.Event) string {
	b.t.Helper()
	b.at = b.at.Add(time.Hour)
	ev.Time = b.at
	ticket, err := b.log.Append(ev)
	if err == nil {
		err = ticket.Durable(b.t.Context())
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return ticket.ID
}

// ran records a statement with its ending.
func (b *book) ran(ev audit.Event, outcome string, rows, masked int64) {
	b.t.Helper()
	yes := ev.Approvers
	ev.Kind, ev.Approvers = audit.Decided, nil
	id := b.add(ev)
	if ev.Effect == "hold" {
		b.add(audit.Event{Kind: audit.Answered, Of: id, Effect: "allow", Approvers: yes})
	}
	b.add(audit.Event{Kind: audit.Finished, Of: id, Who: ev.Who, Outcome: outcome, Rows: rows, Masked: masked})
}

func (b *book) make(name string) *Report {
	b.t.Helper()
	if err := b.log.Seal(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	r, err := Make(b.t.Context(), Config{For: name, Since: start, Until: start.AddDate(0, 1, 0), Made: b.at, By: "grace@shop.example", Record: b.dir, Index: b.x})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *book) html(r *Report) string {
	b.t.Helper()
	var out bytes.Buffer
	if err := r.HTML(&out); err != nil {
		b.t.Fatal(err)
	}
	return out.String()
}

func ada(ev audit.Event) audit.Event {
	ev.Who, ev.Subject, ev.CallerKind, ev.Groups, ev.Connection = "ada@shop.example", "ada", "person", []string{"support"}, "orders"
	return ev
}

func TestAReportSaysWhatHappened(t *testing.T) {
	b := newBook(t)
	b.add(audit.Event{Kind: audit.Rights, Connection: "orders", Role: "sluice", Groups: []string{"support", "dba"}, Detail: "env prod; may open the connection"})
	b.add(audit.Event{Kind: audit.Rights, Connection: "spare", Groups: []string{"dba"}, Detail: "may open the connection"})
	b.add(ada(audit.Event{Kind: audit.LoggedIn, Outcome: "ok"}))
	b.add(audit.Event{Kind: audit.LoggedIn, Outcome: "ok", Who: "idle@shop.example", Groups: []string{"dba"}})
	b.add(ada(audit.Event{Kind: audit.Connected, Outcome: "ok"}))
	people := []string{"public.customers.email:email", "public.customers.ssn:ssn"}
	for range 3 {
		b.ran(ada(audit.Event{SQL: "select email, ssn from customers", Statement: "select", Effect: "allow", Personal: people, Purpose: "ticket 7"}), "ok", 10, 20)
	}
	b.ran(ada(audit.Event{SQL: "select email from customers", Statement: "select", Effect: "deny", Rule: "no-emails", Reason: "not now", Personal: people[:1]}), "refused", 0, 0)
	b.ran(ada(audit.Event{SQL: "alter table orders add x int", Statement: "ddl", Effect: "hold", Rule: "ddl", Approvers: []string{"grace@shop.example"}}), "ok", 0, 0)
	b.add(audit.Event{Kind: audit.Admin, Who: "root@shop.example", Outcome: "ok", Detail: "locked mallory"})
	b.add(audit.Event{Kind: audit.LoggedIn, Outcome: "refused", Error: "too old"})
	if _, err := b.log.Rotate(t.Context(), audit.Event{Time: b.at, Who: "root@shop.example", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	r := b.make("gdpr")
	// What comes after the checkpoint is not in it.
	b.ran(ada(audit.Event{SQL: "select 1", Statement: "select", Effect: "allow"}), "ok", 1, 0)

	if len(r.Rights) != 2 || r.Rights[0].Connection != "orders" || r.Rights[0].Env != "prod" || r.Rights[0].Used != 1 || r.Rights[1].Used != 0 {
		t.Errorf("rights: %+v", r.Rights)
	}
	at := slices.IndexFunc(r.People, func(c Caller) bool { return c.Who == "ada@shop.example" })
	if at < 0 {
		t.Fatalf("people: %+v", r.People)
	}
	if c := r.People[at]; c.Statements != 5 || c.Refused != 1 || c.Rows != 30 || c.Masked != 60 || c.Logins != 1 || c.Sessions != 1 || c.Caller != "person" || !slices.Equal(c.Groups, []string{"support"}) {
		t.Errorf("ada: %+v", c)
	}
	if len(r.Changes.Events) != 1 || !slices.Equal(r.Changes.Events[0].Approvers, []string{"grace@shop.example"}) {
		t.Errorf("changes: %+v", r.Changes.Events)
	}
	if len(r.Kinds) != 2 || r.Kinds[0].Count != 3 || r.Kinds[0].Rows != 30 || r.Kinds[0].Masked != 60 || r.Kinds[0].People != 1 {
		t.Errorf("kinds, without what was refused: %+v", r.Kinds)
	}
	if len(r.Purposes) != 1 || r.Purposes[0].Purpose != "ticket 7" || r.Purposes[0].Count != 3 {
		t.Errorf("purposes: %+v", r.Purposes)
	}
	if len(r.Rules) != 1 || r.Rules[0].Rule != "no-emails" || len(r.Refused.Events) != 1 || len(r.Logins.Events) != 1 || len(r.Acts.Events) != 2 || r.Acts.Events[0].Kind != audit.Rotated {
		t.Errorf("refused: %+v, %+v, %+v", r.Rules, r.Refused.Events, r.Logins.Events)
	}
	if !r.Verified.OK() || r.Verified.Witnessed != r.Entries {
		t.Errorf("verified: %+v", r.Verified)
	}
	again, err := Make(t.Context(), Config{For: "pci", Since: start, Until: start.AddDate(0, 1, 0), Made: b.at, Record: b.dir, Index: b.x, Quick: true})
	if err != nil || again.Entries != r.Entries || again.People[at].Statements != 5 {
		t.Errorf("the next entries are counted before a checkpoint covers them: %v, %+v", err, again.People)
	}
	page := b.html(r)
	for _, want := range []string{"GDPR", "ticket 7", "idle@shop.example", "Art. 32(1)(b)", "locked mallory", "grace@shop.example", "The record verifies", fmt.Sprint("first ", r.Entries, " entries")} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

func TestEveryFrameworkMakesAPage(t *testing.T) {
	b := newBook(t)
	b.ran(ada(audit.Event{SQL: "select 1", Statement: "select", Effect: "allow"}), "ok", 1, 0)
	for _, name := range Names() {
		page := b.html(b.make(name))
		f := frameworkOf(name)
		for _, c := range f.Controls {
			if !strings.Contains(page, c.ID) || !strings.Contains(page, `id="`+c.Section+`"`) {
				t.Errorf("%s: the page has no %s in section %s", name, c.ID, c.Section)
			}
		}
	}
	if _, err := Make(t.Context(), Config{For: "iso", Since: start, Until: b.at, Record: b.dir, Index: b.x}); err == nil {
		t.Error("a report for nothing known is made")
	}
}

// What a caller wrote stands on the page as text, wherever it came in: an auditor's
// browser must not run it, and no line of it may look like one of ours.
func TestHostileTextIsNoMarkup(t *testing.T) {
	b := newBook(t)
	const evil = "</title></style></code></svg><script>alert(1)</script><img src=//evil.example onerror=alert(2)>'\"`{{.}}\u202e\u2066\x1b[31m"
	list := []string{evil}
	b.add(audit.Event{Kind: audit.Rights, Connection: evil, Role: evil, Groups: list, Detail: evil})
	ev := audit.Event{Who: evil, Subject: evil, CallerKind: evil, Owner: evil, Groups: list, From: evil, Connection: evil, Client: evil, Purpose: evil,
		SQL: evil, Statement: "ddl", Reads: list, Personal: []string{evil + ":" + evil}, Rule: evil, Reason: evil, Approvers: list, Detail: evil}
	for _, effect := range []string{"allow", "hold", "deny"} {
		one := ev
		one.Effect = effect
		b.ran(one, "ok", 5, 1)
	}
	for _, kind := range []audit.Kind{audit.Admin, audit.LoggedIn, audit.Connected, audit.Questioned} {
		one := ev
		one.Kind, one.SQL, one.Outcome, one.Error = kind, "", "refused", evil
		b.add(one)
	}
	page := b.html(b.make("soc2"))
	if strings.Count(page, "alert(1)") < 20 {
		t.Fatalf("the text is on the page %d times only: this test tests nothing", strings.Count(page, "alert(1)"))
	}
	tag := regexp.MustCompile(`(?i)<(script|img|iframe|object|link|a href="(?:[^#]))`)
	if found := tag.FindString(page); found != "" {
		t.Errorf("the page has the element %q", found)
	}
	for _, bad := range []string{"\u202e", "\u2066", "\x1b"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has the character %q", bad)
		}
	}
	if strings.Count(page, "</style>") != 1 || strings.Count(page, "</title>") > 1+strings.Count(page, "<title>") {
		t.Error("the text has ended an element")
	}
	for _, outside := range []string{`src="http`, "url(http", "@import", "<base"} {
		if strings.Contains(page, outside) {
			t.Errorf("the page fetches something: %s", outside)
		}
	}
}

func TestAReportOfAChangedRecordSaysSo(t *testing.T) {
	b := newBook(t)
	b.ran(ada(audit.Event{SQL: "select 1 as harmless", Statement: "select", Effect: "allow"}), "ok", 1, 0)
	if err := b.log.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.dir, "entries", "00000000000000000000.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("harmless"), []byte("HARMLESS"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	r := b.make("soc2")
	page := b.html(r)
	if r.Verified.OK() || !strings.Contains(page, "The record does not verify") || strings.Contains(page, "The record verifies") || !strings.Contains(page, "entry 0 is not what was recorded") {
		t.Errorf("a changed record makes a clean page: %+v", r.Verified)
	}
}

// Days are joined to weeks where they would not be told apart on paper, and no
// statement is lost on the way.
func TestTimelineLosesNothing(t *testing.T) {
	for _, days := range []int{1, 30, 90, 101, 365, 2000} {
		var list []Day
		var want int64
		for i := range days {
			list = append(list, Day{Day: start.UTC().Truncate(24*time.Hour).AddDate(0, 0, i), Allow: int64(i), Hold: 1, Deny: 2})
			want += int64(i) + 3
		}
		c := timeline(list, start, start.AddDate(0, 0, days))
		if got := c.Totals.Allow + c.Totals.Hold + c.Totals.Deny; got != want {
			t.Errorf("%d days: %d of %d statements are in the chart", days, got, want)
		}
		for _, b := range c.Bars {
			if b.X < 0 || b.X+b.W > c.W+0.1 || b.Y < 0 || b.Y+b.H > c.H || b.W <= 0 {
				t.Fatalf("%d days: a bar at %+v", days, b)
			}
		}
	}
}
