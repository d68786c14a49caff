package client

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/howlong"
)

// callbackPath is the only path the loopback server serves.
const callbackPath = "/callback"

// callback is the loopback server that the provider sends the browser back to.
// It takes one answer with the right state and refuses everything else: another
// page in the browser can reach it too.
type callback struct {
	ln      net.Listener
	srv     *http.Server
	served  sync.WaitGroup
	host    string // what Host must say, against DNS rebinding
	state   string
	issuer  string
	answers chan answer  // 1: the one answer that is taken
	outcome chan outcome // 1: what the browser is shown at the end
	shown   chan struct{}
	facts   []fact // set before outcome is sent

	mu   sync.Mutex
	used bool // under mu
}

type answer struct {
	code string
	err  error
}

type outcome struct {
	name string
	err  error
}

// fact is a line under the name.
type fact struct{ What, Is string }

func listenCallback(state, issuer string) (*callback, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a local port for the browser: %w", err)
	}
	cb := &callback{
		ln: ln, host: ln.Addr().String(), state: state, issuer: issuer,
		answers: make(chan answer, 1), outcome: make(chan outcome, 1), shown: make(chan struct{}),
	}
	cb.srv = &http.Server{
		Handler:           cb,
		ReadHeaderTimeout: 5 * time.Second, // a browser on the same machine
		MaxHeaderBytes:    32 << 10,
	}
	cb.served.Go(func() { cb.srv.Serve(ln) }) // ends by close
	return cb, nil
}

func (cb *callback) url() string { return "http://" + cb.host + callbackPath }

func (cb *callback) close() {
	cb.srv.Close()
	cb.served.Wait()
}

// wait gives the code that the provider sent.
func (cb *callback) wait(ctx context.Context) (string, error) {
	select {
	case a := <-cb.answers:
		if a.err != nil {
			cb.finish(ctx, "", a.err)
		}
		return a.code, a.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", &api.Error{Sentence: "nobody logged in within " + howlong.Text(loginTimeout), Hint: "run sluice login again", Code: api.CodeNotLoggedIn}
		}
		return "", ctx.Err()
	}
}

// finish shows the browser how it ended, and waits until it was sent.
func (cb *callback) finish(ctx context.Context, name string, err error) {
	cb.outcome <- outcome{name, err}
	select {
	case <-cb.shown:
	case <-ctx.Done():
	}
}

func (cb *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the address holds the code
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "text/html; charset=utf-8")
	q := r.URL.Query()
	switch {
	case r.Host != cb.host:
		refuse(w, http.StatusMisdirectedRequest, "This page was asked for by a wrong name.")
		return
	case r.URL.Path != callbackPath:
		refuse(w, http.StatusNotFound, "There is nothing here.")
		return
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed, "This page is only for reading.")
		return
	case subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(cb.state)) != 1:
		refuse(w, http.StatusForbidden, "This answer does not belong to the login that was started on this machine.")
		return
	case !cb.take():
		refuse(w, http.StatusGone, "This login was already used.")
		return
	}
	cb.answers <- read(q.Get("code"), q.Get("error"), q.Get("error_description"), q["iss"], cb.issuer)
	select {
	case o := <-cb.outcome:
		if o.err != nil {
			refuse(w, http.StatusForbidden, sentence(o.err))
		} else {
			show(w, http.StatusOK, view{OK: true, Title: "You are logged in", Text: "as " + o.name, Facts: cb.facts, Foot: "You can close this page and go back to the terminal.", Next: "sluice ls"})
		}
		close(cb.shown)
	case <-r.Context().Done():
		close(cb.shown)
	}
}

// take lets one answer in.
func (cb *callback) take() bool {
	cb.mu.Lock()
	defer cb.mu.Unlock()
	first := !cb.used
	cb.used = true
	return first
}

// read judges the provider's answer. iss is checked if sent (RFC 9207): it tells
// the answers of two providers apart.
func read(code, oerr, desc string, iss []string, issuer string) answer {
	switch {
	case len(iss) > 0 && (len(iss) != 1 || iss[0] != issuer):
		return answer{err: &api.Error{Sentence: "the answer came from another identity provider", Hint: "run sluice login again", Code: api.CodeNotLoggedIn}}
	case oerr != "":
		const room = 200 // of a text that anybody may have written
		text := fmt.Sprintf("%.*q", room, oerr)
		if desc != "" {
			text += fmt.Sprintf(": %.*q", room, desc)
		}
		return answer{err: &api.Error{Sentence: "the identity provider refused: " + text, Hint: "run sluice login again", Code: api.CodeNotLoggedIn}}
	case code == "":
		return answer{err: &api.Error{Sentence: "the identity provider sent neither a code nor an error", Hint: "run sluice login again", Code: api.CodeNotLoggedIn}}
	}
	return answer{code: code}
}

func sentence(err error) string {
	if e, ok := api.AsError(err); ok {
		return e.Sentence
	}
	return err.Error()
}

func refuse(w http.ResponseWriter, status int, text string) {
	show(w, status, view{Title: "Not logged in", Text: text, Foot: "Go back to the terminal and run sluice login again."})
}

type view struct {
	OK                bool
	Title, Text, Foot string
	Facts             []fact
	Next              string // command to go on with
}

// show sends the whole page before it returns, because the server is closed
// right after the last one.
func show(w http.ResponseWriter, status int, v view) {
	var body bytes.Buffer
	if err := page.Execute(&body, v); err != nil {
		status = http.StatusInternalServerError
		body.Reset()
	}
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	body.WriteTo(w)                       // an error means that the browser went away,
	http.NewResponseController(w).Flush() // which changes nothing for the login
}

// page escapes what it shows: texts come from the provider and from strangers.
var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{{.Title}} · Sluice</title>
<style>
:root{color-scheme:light dark;--bg:#f4f6f8;--card:#fff;--ink:#16212c;--soft:#5b6b7a;--line:#dde4ea;--good:#0f8a6a;--bad:#b3372f}
@media (prefers-color-scheme:dark){:root{--bg:#0f161d;--card:#17212b;--ink:#e8eef3;--soft:#93a4b3;--line:#26343f;--good:#3ecfa5;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:min(26rem,92vw);padding:2.5rem 2rem;background:var(--card);border:1px solid var(--line);border-radius:16px;text-align:center;box-shadow:0 12px 40px rgba(10,30,50,.08)}
svg{display:block;width:56px;height:56px;margin:0 auto 1.25rem;stroke:var(--bad);stroke-width:2.5;fill:none;stroke-linecap:round;stroke-linejoin:round}
.ok svg{stroke:var(--good)}
h1{margin:0 0 .25rem;font-size:1.35rem;font-weight:650;letter-spacing:-.01em}
p{margin:0;overflow-wrap:anywhere;text-wrap:balance}
dl{display:grid;grid-template-columns:auto 1fr;gap:.35rem 1rem;margin:1.25rem 0 0;padding:.9rem 1.1rem;background:var(--bg);border-radius:10px;font-size:.92rem;text-align:left}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
code{padding:.1rem .4rem;background:var(--bg);border-radius:6px;color:var(--ink);font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.foot{margin-top:1.5rem;padding-top:1.25rem;border-top:1px solid var(--line);color:var(--soft);font-size:.92rem}
.name{margin-top:2rem;color:var(--soft);font-size:.8rem;letter-spacing:.14em;text-transform:uppercase}
</style></head>
<body><div><main{{if .OK}} class="ok"{{end}}>
<svg viewBox="0 0 56 56" aria-hidden="true"><circle cx="28" cy="28" r="25"/>{{if .OK}}<path d="M17 29l8 8 15-17"/>{{else}}<path d="M20 20l16 16M36 20L20 36"/>{{end}}</svg>
<h1>{{.Title}}</h1><p>{{.Text}}</p>
{{with .Facts}}<dl>{{range .}}<dt>{{.What}}</dt><dd>{{.Is}}</dd>{{end}}</dl>{{end}}
<p class="foot">{{.Foot}}{{with .Next}} What you may use: <code>{{.}}</code>{{end}}</p>
</main><p class="name" style="text-align:center">Sluice</p></div></body></html>
`))
