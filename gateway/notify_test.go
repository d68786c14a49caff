package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
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
