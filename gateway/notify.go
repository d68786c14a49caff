package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/internal/durable"
)

// Limits of telling people elsewhere. None of it is on the path of a statement.
const (
	hookQueue = 1000             // messages that wait for one hook; what comes then is dropped, and logged
	hookTries = 6                // of one message
	hookTime  = 10 * time.Second // of one try
	hookWait  = time.Second      // before the second try; doubled each time

	maxHookFile = 16 << 20 // of what waits for one: a thousand messages with the longest reasons
)

// The forms of a message.
const (
	HookGeneric = "generic" // a JSON object of ours
	HookSlack   = "slack"   // Slack's incoming webhooks, and what takes their form
	HookTeams   = "teams"   // Microsoft Teams' workflows: an adaptive card
)

// Hook is an address that is told of what waits for people and how it ended. A message
// is delivered at least once if the address answers in time: the header
// Sluice-Delivery is the same each time. Sluice-Signature is "t=<unix time>,v1=<hex>",
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
	file durable.JSON  // what waits, while the address is not reached
	more chan struct{} // has a token when list has grown
	kept bool          // the file says what waits; owned by deliver

	mu   sync.Mutex
	list []message // the first is under way
}

// message is one that is to be delivered; ID is the same however often it is tried.
type message struct {
	ID   string `json:"delivery"`
	Told Told   `json:"told"`
}

// hookFile is the name of a hook's file. The address may be a secret.
func hookFile(url string) string {
	sum := sha256.Sum256([]byte(url))
	return "webhook-" + hex.EncodeToString(sum[:8]) + ".json"
}

// newHooks takes up what an earlier gateway could not deliver.
func newHooks(g *Gateway, list []Hook) (out []*hook) {
	for _, h := range list {
		if h.Wait == 0 {
			h.Wait = hookWait
		}
		made := &hook{Hook: h, g: g, more: make(chan struct{}, 1), file: durable.JSON{What: "messages for a webhook", Most: maxHookFile}}
		if g.cfg.StateDir != "" {
			made.file.Path = filepath.Join(g.cfg.StateDir, hookFile(h.URL))
		}
		if _, err := made.file.Read(&made.list); err != nil {
			// No statement depends on them, so they are given up.
			g.cfg.Log.Error("messages for a webhook are lost", "error", err)
			made.list = nil
		}
		made.kept = len(made.list) > 0
		out = append(out, made)
	}
	return out
}

// tellAsked tells the hooks that an ask waits.
func (g *Gateway) tellAsked(a approval.Ask) {
	t := told("asked", a)
	if a.Evidence != nil {
		t.Why = a.Evidence.Why
	}
	g.tell(t)
}

// tellAnswered tells the hooks how it ended.
func (g *Gateway) tellAnswered(a approval.Ask, answer approval.Answer) {
	t := told("answered", a)
	t.Why, t.Granted, t.BreakGlass = answer.Why, answer.Granted, answer.BreakGlass
	g.tell(t)
}

func told(event string, a approval.Ask) Told {
	return Told{
		Event: event, ID: a.ID, Who: a.Who.Name(), WhoKind: string(a.Who.Kind), Connection: a.Connection, Kind: a.Kind, Rule: a.Rule, Reason: a.Reason,
		Needs: a.Quorum.String(), Deadline: a.Deadline, Command: "sluice approvals show " + a.ID,
	}
}

func (g *Gateway) tell(t Told) {
	for _, h := range g.hooks {
		if !h.add(message{ID: rand.Text(), Told: t}) {
			g.cfg.Log.Error("a webhook is behind, so a message is dropped", "ask", t.ID, "event", t.Event)
		}
	}
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

// pop takes the first away, and whether others wait.
func (h *hook) pop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = h.list[1:]
}

// keep has the file say what waits. It is only written while the address is not reached,
// and when the gateway stops: mostly nothing waits.
func (h *hook) keep() {
	h.mu.Lock()
	list := slices.Clone(h.list)
	h.mu.Unlock()
	if len(list) == 0 {
		if err := os.Remove(h.file.Path); err != nil && !errors.Is(err, fs.ErrNotExist) && h.file.Path != "" {
			h.g.cfg.Log.Error("forget what a webhook was told", "error", err)
		}
		return
	}
	if err := h.file.Write(list); err != nil {
		h.g.cfg.Log.Error("keep what a webhook is to be told", "error", err)
	}
}

// deliver sends what comes until ctx is done. What is left then is for the next gateway.
func (h *hook) deliver(ctx context.Context) {
	client := &http.Client{Timeout: hookTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer h.keep()
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
		if h.kept {
			h.keep()
			_, h.kept = h.head()
		}
	}
}

// send tries until the address has taken it, refuses it, or tries are used up.
func (h *hook) send(ctx context.Context, client *http.Client, m message) error {
	body, err := hookBody(h.Format, m.Told)
	if err != nil {
		return err
	}
	wait := h.Wait
	for try := 1; ; try++ {
		again, err := h.try(ctx, client, m.ID, body)
		if err == nil || !again || try == hookTries {
			return err
		}
		h.keep()
		h.kept = true
		timer := time.NewTimer(wait)
		for waiting := true; waiting; {
			select {
			case <-timer.C:
				waiting = false
			case <-h.more:
				h.keep()
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			}
		}
		wait *= 2
	}
}

func (h *hook) try(ctx context.Context, client *http.Client, id string, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("the address of a webhook: %w", err)
	}
	at := strconv.FormatInt(h.g.cfg.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sluice")
	req.Header.Set("Sluice-Delivery", id)
	req.Header.Set("Sluice-Signature", "t="+at+",v1="+Sign(h.Secret, at, body))
	resp, err := client.Do(req)
	if err != nil {
		return true, fmt.Errorf("send: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout
	return again, fmt.Errorf("it answered %s", resp.Status)
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
