package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/gateway"
)

// delivery is one call of a webhook.
type delivery struct {
	id, body string
	signed   bool
}

// hooked is an address that refuses the first calls.
func hooked(t *testing.T, secret string, fails int, status int) (string, <-chan delivery) {
	got := make(chan delivery, 100)
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		at, sum, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Sluice-Signature"), "t="), ",v1=")
		got <- delivery{r.Header.Get("Sluice-Delivery"), string(body), sum == gateway.Sign(secret, at, body)}
		if calls.Add(1) <= int64(fails) {
			w.WriteHeader(status)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

func next(t *testing.T, got <-chan delivery) delivery {
	t.Helper()
	select {
	case d := <-got:
		return d
	case <-time.After(patience):
		t.Fatal("nothing was delivered")
		return delivery{}
	}
}

// A webhook is told of an ask and of its end, signed, again if it fails, and never what
// the statement holds.
func TestWebhookIsToldAndSigned(t *testing.T) {
	url, got := hooked(t, "s3cret", 2, http.StatusBadGateway)
	slack, slacked := hooked(t, "", 0, 0)
	teams, teamed := hooked(t, "", 0, 0)
	th := start(t, "prod", village, heldBy(t, "{groups: [dba], break_glass: {groups: [oncall]}}"), func(c *gateway.Config) {
		c.Hooks = []gateway.Hook{{URL: url, Secret: "s3cret", Wait: time.Millisecond}, {URL: slack, Format: gateway.HookSlack}, {URL: teams, Format: gateway.HookTeams}}
	})
	ada := person("ada", "oncall")
	conn := connect(t, th.as(ada))
	if _, err := run(conn, "set sluice.reason = '<!channel> *now*'"); err != nil {
		t.Fatal(err)
	}
	done := background(conn, "update people set name = 'topsecret' where id = 3")
	ask := th.held(t, 1)[0]
	first, second, third := next(t, got), next(t, got), next(t, got)
	if first != second || second != third || !first.signed || first.id == "" {
		t.Errorf("delivered as %+v, %+v, %+v", first, second, third)
	}
	var told gateway.Told
	if err := json.Unmarshal([]byte(first.body), &told); err != nil || told.ID != ask.ID || told.Event != "asked" || told.Command != "sluice approvals show "+ask.ID || told.Who != ada.Name() {
		t.Errorf("it says %+v, %v", told, err)
	}
	if _, err := th.Answer(ada, ask.ID, api.AskDecision{Grant: true, BreakGlass: true, Reason: "down", Seal: ask.Seal}); err != nil {
		t.Fatal(err)
	}
	if err := await(t, done); err != nil {
		t.Fatal(err)
	}
	last := next(t, got)
	if err := json.Unmarshal([]byte(last.body), &told); err != nil || told.Event != "answered" || !told.BreakGlass || !told.Granted || last.id == first.id {
		t.Errorf("its end says %+v, %v", told, err)
	}
	texts := first.body + last.body
	for _, ch := range []<-chan delivery{slacked, teamed} {
		a, b := next(t, ch).body, next(t, ch).body
		if !strings.Contains(b, "BREAK-GLASS") || !json.Valid([]byte(a)) || strings.Contains(a, "<!channel>") || strings.Contains(a, "*now*") {
			t.Errorf("people read %s and %s", a, b)
		}
		texts += a + b
	}
	if strings.Contains(texts, "topsecret") {
		t.Errorf("a statement left: %s", texts)
	}
}

// What an address was not told when the gateway stopped, or was killed, it is told by the
// next one: under the same delivery, in order, also what was decided meanwhile and that
// what waited is lost. What it was told it is not told again.
func TestWebhookIsToldAfterARestart(t *testing.T) {
	gone, failed := hooked(t, "", 1<<30, http.StatusBadGateway)
	dir := t.TempDir()
	to := func(url string) func(*gateway.Config) {
		return func(c *gateway.Config) {
			c.StateDir, c.Hooks = dir, []gateway.Hook{{URL: url, Wait: time.Minute}}
		}
	}
	notes := func(suffix string) []string {
		list, err := filepath.Glob(filepath.Join(dir, "s-*"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"), to(gone))
	done := background(connect(t, th.as(person("ada"))), move2)
	ask := th.held(t, 1)[0]
	first := next(t, failed)
	th.deny(t, ask.ID)
	wantCode(t, await(t, done), "42501")
	list := notes(".ask.json")
	if len(list) != 1 {
		t.Fatalf("what is untold stands in %q", list)
	}
	note, err := os.ReadFile(list[0])
	if err != nil || !strings.Contains(string(note), ask.ID) || strings.Contains(string(note), gone) || strings.Contains(string(note), "update people") {
		t.Errorf("the note says %s, %v", note, err)
	}
	if err := th.stop(); err != nil {
		t.Fatal(err)
	}
	// As a kill leaves them: two that waited, of which one address knew one.
	lost := strings.ReplaceAll(string(note), ask.ID, "zzzzz")
	for name, text := range map[string]string{"s-x-zzzzz.ask.json": lost, "s-y-yyyyy.told.ask.json": strings.ReplaceAll(lost, "zzzzz", "yyyyy")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	back, got := hooked(t, "", 0, 0)
	th.again(t, to(back))
	told := map[string][]string{}
	for range 5 {
		d := next(t, got)
		var m gateway.Told
		if err := json.Unmarshal([]byte(d.body), &m); err != nil {
			t.Fatal(err)
		}
		told[m.ID] = append(told[m.ID], m.Event+" "+m.Why)
		if m.ID == ask.ID && m.Event == "asked" && d != first {
			t.Errorf("it was told %+v, and then %+v", first, d)
		}
	}
	want := map[string][]string{
		ask.ID:  {"asked ", "answered denied by " + approver.Name()},
		"zzzzz": {"asked ", "answered the gateway stopped while it waited, so it never ran"},
		"yyyyy": {"answered the gateway stopped while it waited, so it never ran"},
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	eventually(t, "nothing is untold", func() bool { return len(notes(".ask.json")) == 0 })
	if err := th.stop(); err != nil {
		t.Fatal(err)
	}
	th.again(t, to(back))
	if len(got) != 0 {
		t.Errorf("told again: %+v", <-got)
	}
}

// An address that cannot be reached more often than tries last is told in the end; and
// when everything was told no note is left.
func TestWebhookThatIsAway(t *testing.T) {
	got := make(chan string, 10)
	var calls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) < 10 {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close() // as a network does that is not there
			}
			return
		}
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"), func(c *gateway.Config) {
		c.StateDir, c.Hooks = dir, []gateway.Hook{{URL: srv.URL, Wait: time.Millisecond}}
	})
	done := background(connect(t, th.as(person("ada"))), move2)
	th.deny(t, th.held(t, 1)[0].ID)
	wantCode(t, await(t, done), "42501")
	for _, want := range []string{`"asked"`, `"answered"`} {
		select {
		case body := <-got:
			if !strings.Contains(body, want) {
				t.Errorf("%s does not say %s", body, want)
			}
		case <-time.After(patience):
			t.Fatalf("it was not told %s", want)
		}
	}
	eventually(t, "no note is left", func() bool {
		list, err := filepath.Glob(filepath.Join(dir, "*"))
		return err == nil && len(list) == 0
	})
}

// What was asked for ahead of time is told, and what became of it: granted, denied, taken
// back, or never answered; by the next gateway if this one could not.
func TestWebhookIsToldOfRequests(t *testing.T) {
	gone, failed := hooked(t, "", 1<<30, http.StatusBadGateway)
	dir := t.TempDir()
	clock := &atomic.Int64{}
	to := func(url string) func(*gateway.Config) {
		return func(c *gateway.Config) {
			c.StateDir, c.Hooks = dir, []gateway.Hook{{URL: url, Wait: time.Minute}}
			c.Now = func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
		}
	}
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"), to(gone))
	ada := person("ada")
	ada.Expires = time.Now().Add(100 * time.Hour)
	ids := make([]string, 4)
	for i := range ids {
		r, err := th.Request(t.Context(), ada, api.NewRequest{Connection: "orders", SQL: fmt.Sprintf("update people set name = 'x' where id = %d", i), Reason: "spring cleaning"})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = r.ID
	}
	for i, grant := range []bool{true, false} {
		vote := th.yes(ids[i])
		vote.Grant = grant
		if _, err := th.Answer(approver, ids[i], vote); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := th.EndRequest(ada, ids[2]); err != nil {
		t.Fatal(err)
	}
	first := next(t, failed)
	if err := th.stop(); err != nil {
		t.Fatal(err)
	}
	back, got := hooked(t, "", 0, 0)
	th.again(t, to(back))
	clock.Store(int64(approval.AnswerTime + time.Minute))
	told := map[string]string{}
	for range 8 {
		d := next(t, got)
		var m gateway.Told
		if err := json.Unmarshal([]byte(d.body), &m); err != nil {
			t.Fatal(err)
		}
		told[m.ID] += fmt.Sprintf("%s %t %s; ", m.Event, m.Granted, m.Why)
		if m.ID == ids[0] && m.Event == "asked" && d != first {
			t.Errorf("it was told %+v, and then %+v", first, d)
		}
	}
	asked := "asked false spring cleaning; answered "
	want := map[string]string{ids[0]: asked + "true approved by " + approver.Name() + "; ", ids[1]: asked + "false denied by " + approver.Name() + "; ", ids[2]: asked + "false taken back by " + ada.Name() + "; ", ids[3]: asked + "false nobody answered in time; "}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	eventually(t, "nothing is untold", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "requests.json"))
		return err == nil && !strings.Contains(string(b), "Untold")
	})
	if err := th.stop(); err != nil {
		t.Fatal(err)
	}
	th.again(t, to(back))
	if len(got) != 0 {
		t.Errorf("told again: %+v", <-got)
	}
}

// What an address refuses is not sent again, and one that never answers well is given
// up; neither keeps a statement from its answer.
func TestWebhookThatRefuses(t *testing.T) {
	no, refused := hooked(t, "", 100, http.StatusForbidden)
	bad, failed := hooked(t, "", 100, http.StatusInternalServerError)
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"), func(c *gateway.Config) {
		c.Hooks = []gateway.Hook{{URL: no, Wait: time.Millisecond}, {URL: bad, Wait: time.Millisecond}, {URL: "http://127.0.0.1:1/", Wait: time.Millisecond}}
	})
	done := background(connect(t, th.as(person("ada"))), move2)
	th.approve(t, th.held(t, 1)[0].ID)
	if err := await(t, done); err != nil {
		t.Fatal(err)
	}
	var ids []string
	eventually(t, "both messages were given up", func() bool {
		for len(failed) > 0 {
			ids = append(ids, (<-failed).id)
		}
		return len(ids) == 12
	})
	if ids[0] != ids[5] || ids[5] == ids[6] || len(refused) != 2 {
		t.Errorf("tried as %q; what was refused was sent %d times", ids, len(refused))
	}
}
