package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
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
// next one: under the same delivery, and that what waited is lost.
func TestWebhookIsToldAfterARestart(t *testing.T) {
	away, failed := hooked(t, "", 1<<30, http.StatusBadGateway)
	dir := t.TempDir()
	to := func(url string) func(*gateway.Config) {
		return func(c *gateway.Config) {
			c.StateDir, c.Hooks = dir, []gateway.Hook{{URL: url, Wait: time.Minute}}
		}
	}
	th := start(t, "prod", village, heldBy(t, "{groups: [dba]}"), to(away))
	done := background(connect(t, th.as(person("ada"))), move2)
	ask := th.held(t, 1)[0]
	first := next(t, failed)
	var file string
	eventually(t, "what waits is on disk", func() bool {
		list, err := filepath.Glob(filepath.Join(dir, "webhook-*.json"))
		if err != nil || len(list) != 1 {
			return false
		}
		file = list[0]
		return true
	})
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), ask.ID) || strings.Contains(string(b), away) || strings.Contains(string(b), "update people") {
		t.Errorf("the file says %s, %v", b, err)
	}
	th.deny(t, ask.ID)
	wantCode(t, await(t, done), "42501")
	eventually(t, "the end waits too", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Count(string(b), `"delivery"`) == 2
	})
	if err := th.stop(); err != nil {
		t.Fatal(err)
	}
	// As a kill leaves it: the ask still has its note.
	lost := `{"kind":"answered","of":"x","session":"s-x","who":"ada@example.com","connection":"orders","rule":"writes","detail":"ask zzzzz","effect":"deny","outcome":"lost","time":"` + time.Now().UTC().Format(time.RFC3339) + `"}`
	if err := os.WriteFile(filepath.Join(dir, "s-x-zzzzz.ask.json"), []byte(lost), 0o600); err != nil {
		t.Fatal(err)
	}
	back, got := hooked(t, "", 0, 0)
	if err := os.Rename(file, filepath.Join(dir, gateway.HookFile(back))); err != nil { // the test's address has another name now
		t.Fatal(err)
	}
	th.again(t, to(back))
	asked, answered, over := next(t, got), next(t, got), next(t, got)
	if asked != first || !strings.Contains(answered.body, `"answered"`) || !strings.Contains(over.body, "the gateway stopped while it waited") || !strings.Contains(over.body, "zzzzz") {
		t.Errorf("told %+v, then %+v, then %+v", asked, answered, over)
	}
	eventually(t, "nothing waits on disk", func() bool {
		list, err := filepath.Glob(filepath.Join(dir, "webhook-*.json"))
		return err == nil && len(list) == 0
	})
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
