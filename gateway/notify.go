package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/approval"
)

// Limits of telling people elsewhere. None of it is on the path of a statement.
const (
	// hookQueue is how many messages wait for one hook; what comes then is dropped, and
	// logged. All asks that a gateway holds, with their ends, are twice in it.
	hookQueue = 4 * approval.MaxOpen
	hookTries = 6                // of a message that the address has answered badly
	hookTime  = 10 * time.Second // of one try
	hookWait  = time.Second      // before the second try; doubled each time
	hookMost  = time.Minute      // between two tries
	hookKeep  = 24 * time.Hour   // that an address that is not reached is tried with one message
)

// The forms of a message.
const (
	HookGeneric = "generic" // a JSON object of ours
	HookSlack   = "slack"   // Slack's incoming webhooks, and what takes their form
	HookTeams   = "teams"   // Microsoft Teams' workflows: an adaptive card
)

// Hook is an address that is told of what waits for people and how it ended. A message
// is delivered at least once, also across a kill of the gateway, if the address answers
// within a day: the header Sluice-Delivery is the same each time. Sluice-Signature is "t=<unix time>,v1=<hex>",
// the HMAC-SHA-256 of "<unix time>.<body>". Messages hold no text of statements and no
// parameters: they lead to the command that shows them to those who may see them.
type Hook struct {
	URL    string
	Secret string // of the signature
	Format string // HookGeneric if empty
	Wait   time.Duration
}

// Told is the generic message.
type Told struct {
	Event      string    `json:"event"` // asked, answered
	ID         string    `json:"id"`
	Who        string    `json:"who"`
	WhoKind    string    `json:"who_kind"`
	Connection string    `json:"connection"`
	Kind       string    `json:"kind"`
	Rule       string    `json:"rule"`
	Reason     string    `json:"reason,omitempty"` // of the rule
	Why        string    `json:"why,omitempty"`    // what the caller says; once answered, how it ended
	Needs      string    `json:"needs,omitempty"`
	Granted    bool      `json:"granted,omitempty"`
	BreakGlass bool      `json:"break_glass,omitempty"`
	Deadline   time.Time `json:"deadline"`
	Command    string    `json:"command"` // to run
}

// hook is one address with what waits for it. deliver owns the goroutine.
type hook struct {
	Hook
	g    *Gateway
	more chan struct{} // has a token when list has grown

	mu   sync.Mutex
	list []message // the first is under way
}

// message is one that is to be delivered. What it is made of is on disk until every hook
// has it (lost.go, approval.Book): a gateway that is killed leaves nothing untold.
type message struct {
	ID   string // the same however often it is tried, and by which gateway
	Told Told
	done func() // is called when nobody needs to be told of it any more
}

func newHooks(g *Gateway, list []Hook) (out []*hook) {
	for _, h := range list {
		if h.Wait == 0 {
			h.Wait = hookWait
		}
		out = append(out, &hook{Hook: h, g: g, more: make(chan struct{}, 1)})
	}
	return out
}

// deliveryID is the id of the message that something became of something. It is made of
// what another gateway on the same state knows too.
func deliveryID(of, id, became string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "sluice delivery 1\n%q %q %q", of, id, became))
	return hex.EncodeToString(sum[:16])
}

// askedOf is the message that an ask waits.
func askedOf(a approval.Ask) Told {
	t := Told{
		Event: "asked", ID: a.ID, Who: a.Who.Name(), WhoKind: string(a.Who.Kind), Connection: a.Connection, Kind: a.Kind, Rule: a.Rule, Reason: a.Reason,
		Needs: a.Quorum.String(), Deadline: a.Deadline, Command: "sluice approvals show " + a.ID,
	}
	if a.Evidence != nil {
		t.Why = a.Evidence.Why
	}
	return t
}

// ended is the message of what became of it.
func (t Told) ended(granted, breakGlass bool, why, command string) Told {
	t.Event, t.Granted, t.BreakGlass, t.Why, t.Command = "answered", granted, breakGlass, why, command
	return t
}

// tell puts a message before every hook; done is called once all have it, or it was given
// up for them.
func (g *Gateway) tell(id string, t Told, done func()) {
	var left atomic.Int64
	left.Store(int64(len(g.hooks)) + 1)
	each := func() {
		if left.Add(-1) == 0 {
			done()
		}
	}
	for _, h := range g.hooks {
		if !h.add(message{ID: id, Told: t, done: each}) {
			g.cfg.Log.Error("a webhook is behind, so a message is dropped", "ask", t.ID, "event", t.Event)
			each()
		}
	}
	each()
}

// tellRequest tells of a state that a request made ahead of time is in.
func (g *Gateway) tellRequest(r approval.Request, state string) {
	if !slices.Contains(r.Untold, state) {
		return
	}
	t := askedOf(r.Ask)
	if state != approval.Waiting {
		why := r.Why
		if r.State != state {
			why = state // it went on since
		}
		t = t.ended(state == approval.Granted, brokeGlass(r), why, "sluice request ls")
	}
	g.tell(deliveryID(r.Seal, r.ID, state), t, func() {
		if err := g.book.Told(r.ID, state); err != nil {
			g.cfg.Log.Error("note that a webhook was told", "request", r.ID, "error", err)
		}
	})
}

func (h *hook) add(m message) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) >= hookQueue {
		return false
	}
	h.list = append(h.list, m)
	select {
	case h.more <- struct{}{}:
	default:
	}
	return true
}

func (h *hook) head() (message, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) == 0 {
		return message{}, false
	}
	return h.list[0], true
}

// pop takes the first away.
func (h *hook) pop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = h.list[1:]
}

// deliver sends what comes until ctx is done. What is left then is for the next gateway.
func (h *hook) deliver(ctx context.Context) {
	client := &http.Client{Timeout: hookTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for {
		m, ok := h.head()
		if !ok {
			select {
			case <-h.more:
				continue
			case <-ctx.Done():
				return
			}
		}
		err := h.send(ctx, client, m)
		if ctx.Err() != nil && err != nil {
			return
		}
		if err != nil {
			h.g.cfg.Log.Error("a webhook was not reached", "ask", m.Told.ID, "event", m.Told.Event, "error", err)
		}
		h.pop()
		m.done()
	}
}

// send tries until the address has taken it or refuses it, or tries or time are used up.
func (h *hook) send(ctx context.Context, client *http.Client, m message) error {
	body, err := hookBody(h.Format, m.Told)
	if err != nil {
		return err
	}
	began := time.Now()
	for try, wait := 1, h.Wait; ; try, wait = try+1, min(2*wait, hookMost) {
		status, err := h.try(ctx, client, m.ID, body)
		switch {
		case err == nil:
			return nil
		case status == 0 && time.Since(began) > hookKeep, status != 0 && (try >= hookTries || !passing(status)):
			return err
		case try == 1:
			h.g.cfg.Log.Warn("a webhook is not reached, and is tried again", "ask", m.Told.ID, "event", m.Told.Event, "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// passing reports whether another try may be answered better.
func passing(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// try sends a message once. status is 0 if there was no answer.
func (h *hook) try(ctx context.Context, client *http.Client, id string, body []byte) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("the address of a webhook: %w", err)
	}
	at := strconv.FormatInt(h.g.cfg.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sluice")
	req.Header.Set("Sluice-Delivery", id)
	req.Header.Set("Sluice-Signature", "t="+at+",v1="+Sign(h.Secret, at, body))
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("send: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, fmt.Errorf("it answered %s", resp.Status)
}

// withoutURL leaves the address out: with Slack and Teams it is the secret.
func withoutURL(err error) error {
	type unwrapper interface{ Unwrap() error }
	if u, ok := err.(unwrapper); ok && u.Unwrap() != nil {
		return u.Unwrap()
	}
	return err
}

// Sign is the signature of a body sent at that time, for those who check it.
func Sign(secret, at string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// hookBody is the message in a form.
func hookBody(format string, t Told) ([]byte, error) {
	switch format {
	case "", HookGeneric:
		return json.Marshal(t)
	case HookSlack:
		return json.Marshal(map[string]string{"text": slackText.Replace(hookText(t)) + "\n`" + t.Command + "`"})
	case HookTeams:
		card := map[string]any{
			"type": "AdaptiveCard", "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "version": "1.4",
			"body": []map[string]any{{"type": "TextBlock", "text": teamsText.Replace(hookText(t)), "wrap": true}, {"type": "TextBlock", "text": t.Command, "fontType": "Monospace"}},
		}
		return json.Marshal(map[string]any{"type": "message", "attachments": []map[string]any{{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}}})
	}
	return nil, fmt.Errorf("there is no webhook format %q", format)
}

// What others wrote must not become a link, a mention or an emphasis.
var (
	slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'", "*", "∗", "_", "ˍ", "~", "∼")
	teamsText = strings.NewReplacer("[", "(", "]", ")", "<", "‹", ">", "›", "*", "∗", "_", "ˍ", "`", "'")
)

// hookText is a message for people.
func hookText(t Told) string {
	what := fmt.Sprintf("%s asks on %s: %s, held by %s; needs %s", t.Who, t.Connection, t.Kind, t.Rule, t.Needs)
	if t.Event == "answered" {
		what = fmt.Sprintf("%s on %s: %s (%s of %s)", t.ID, t.Connection, t.Why, t.Kind, t.Who)
		if t.BreakGlass {
			what = "BREAK-GLASS " + what
		}
	} else if t.Why != "" {
		what += ". They say: " + t.Why
	}
	return strings.Join(strings.Fields(what), " ")
}
