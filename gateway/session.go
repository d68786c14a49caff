package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/wire"
	"github.com/sluicehq/sluice/wire/postgres"
)

// dialTime bounds the gateway's own login to a database.
const dialTime = 15 * time.Second

// Caller is who opens a session, and to what.
type Caller struct {
	Who        identity.Identity
	Connection string
	Verifier   string // SCRAM verifier of the local password; "" asks for none
	From       string // network address
	Key        string // fingerprint of the caller's key; "" if there is none, and nothing renews
	Run        string // run of a job that the caller has begun, and says this is part of; "" for none
}

// owner tells callers apart.
func (c Caller) owner() string { return c.Who.Key() }

// session is one client's connection to one database. up and down run in a
// goroutine each; what both use says who owns it.
type session struct {
	Caller
	g       *Gateway
	conn    net.Conn // under client
	id      string
	base    *database
	client  *postgres.Client
	startup postgres.Startup // what the client asked for
	server  *postgres.Server
	role    string   // database role
	program string   // application_name
	calls   *program // what the database is told of it
	share   *postgres.Share
	since   time.Time
	cut     context.CancelCauseFunc
	gone    chan struct{} // closed when it has ended

	incoming incoming // owned by up
	given    given    // owned by up, as those up to why
	policy   *inForce
	verdicts verdicts
	block    block
	running  atomic.Pointer[running]   // the run of a runbook, which is all that runs here; nil otherwise
	script   *script                   // approved ahead of time, which is all that runs here; nil otherwise
	onlySaid bool                      // nothing was sent but what speaks to Sluice
	window   atomic.Pointer[string]    // id of the one that let something run here
	why      string                    // what the caller says of what they do
	reads    bool                      // it was opened to read only
	strict   bool                      // every answer waits until its decision is on disk
	until    atomic.Pointer[time.Time] // the end that a renewal gave; nil before run
	count    atomic.Int64              // statements decided
	rows     atomic.Int64              // of statements that have ended, as bytes
	bytes    atomic.Int64              //
	taps     taps                      // those who watch
	holding  atomic.Pointer[context.CancelFunc]
	tells    atomic.Bool // the caller wants to hear of what is hidden

	mu    sync.Mutex // guards what follows
	names shadow     // what this session has done to the meaning of names
	state string     // "idle", "active", "waiting"
	open  map[*job]struct{}
	doing string    // what it runs or ran last, without secrets
	begun time.Time // when that was decided

	failing string // why the COPY under way is made to fail; "" if it is not

	left   bool // owned by up: the client was read to its end
	parted bool // owned by down: the database has said why it ends the session
}

// Session serves one client that speaks the PostgreSQL protocol on conn, until
// either side ends it or ctx is done. It closes conn.
func (g *Gateway) Session(ctx context.Context, conn net.Conn, c Caller) {
	defer conn.Close()
	var s *session
	apart(func() { s = g.accept(ctx, conn, c) })
	if s == nil {
		return
	}
	defer s.share.Close()
	ctx, s.cut = context.WithCancelCause(ctx)
	defer s.cut(nil)
	if err := s.serve(ctx); err != nil {
		g.refused(c, s.startup, err)
	}
}

// accept speaks with a new client until it has said what it wants. The session is nil
// if that is none.
func (g *Gateway) accept(ctx context.Context, conn net.Conn, c Caller) *session {
	base := g.open(c.Who, c.Connection)
	if base == nil {
		g.cfg.Log.Error("a session for a connection that is not configured", "connection", c.Connection)
		return nil
	}
	client, st, err := postgres.Accept(ctx, conn, c.Verifier)
	if err != nil {
		g.refused(c, st, err)
		return nil
	}
	if st.Cancel != nil {
		g.cancelled(c, *st.Cancel)
		return nil
	}
	share := g.memory.Share(c.owner())
	client.Within(share)
	return &session{
		Caller: c, g: g, conn: conn, id: "s-" + strings.ToLower(rand.Text()[:12]), base: base, client: client, startup: st,
		program: st.Params["application_name"], share: share, since: g.cfg.Now(), gone: make(chan struct{}), state: "idle", open: map[*job]struct{}{},
		strict: g.cfg.Record.Strict(),
	}
}

// apart runs what needs a deep stack on a goroutine of its own, which takes the stack
// with it when it ends: the one that waits lasts as long as its session. A panic is
// passed on.
func apart(f func()) {
	var caught any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { caught = recover() }()
		f()
	}()
	<-done
	if caught != nil {
		panic(caught)
	}
}

// cancelled stops what the session of that key runs, if the session is the caller's.
func (g *Gateway) cancelled(c Caller, key postgres.Key) {
	if !g.keys.Cancel(key, c.owner()) {
		g.log(g.note(audit.Event{Kind: audit.Admin, Who: c.Who.Name(), Subject: c.Who.Subject, From: c.From, Connection: c.Connection,
			Outcome: "refused", Detail: "a cancel request matched no session"}))
	}
}

// refused records a session that never came to be. Someone who is not let in is
// worth knowing of; garbage on the port is not.
func (g *Gateway) refused(c Caller, st postgres.Startup, err error) {
	var login *postgres.Login
	if !errors.As(err, &login) {
		g.cfg.Log.Info("session not opened", "connection", c.Connection, "from", c.From, "error", err)
		return
	}
	g.log(g.note(audit.Event{
		Kind: audit.Connected, Who: c.Who.Name(), Subject: c.Who.Subject, CallerKind: string(c.Who.Kind), From: c.From,
		Connection: c.Connection, Client: st.Params["application_name"], Outcome: "refused", ErrorCode: login.Say.Code, Error: login.Say.Message,
	}))
}

func (g *Gateway) log(err error) {
	if err != nil {
		g.cfg.Log.Error("the record refused an event", "error", err)
	}
}

// serve opens the database, lets the client in, and runs up and down. An error
// means that the session did not begin, and the client was told why.
func (s *session) serve(ctx context.Context) error {
	leave, err := s.g.sessions.enter(s.Who, s.g.cfg.Sessions, s.g.cfg.SessionsEach)
	if err != nil {
		return s.last("53300", err.Error(), "close sessions that are no longer used")
	}
	defer leave()
	apart(func() { err = s.begin(ctx, s.startup) })
	if err != nil {
		return s.unopened(err)
	}
	defer s.server.Close()
	key, release, err := s.g.keys.Issue(s.server.PID(), s.owner(), s.cancel)
	if err != nil {
		_ = s.last("53300", err.Error(), "close sessions that are no longer used")
		return nil
	}
	defer release()
	if err := s.opened(ctx); err != nil {
		_ = s.last("58030", "the session could not be recorded, so it was not opened", "tell whoever runs the gateway")
		return nil
	}
	s.base.counts.opened.Add(1)
	s.g.sessions.add(s)
	defer s.g.sessions.remove(s)
	if no := s.g.barred(s.Who); no != nil { // since the stream was opened
		s.cut(no)
	}
	if err := s.client.Ready(s.server.Settings, key); err != nil {
		s.closed(ctx, "the client left before it was let in")
		return nil //nolint:nilerr // the record of its session is complete with its end
	}
	s.run(ctx)
	return nil
}

// last tells the client why the session does not begin, and returns that.
func (s *session) last(code, sentence, hint string) *postgres.Login {
	login := &postgres.Login{Say: postgres.Say{Code: code, Message: sentence, Hint: hint}}
	s.client.Fatal(login.Say)
	return login
}

// unopened tells the client that its database could not be opened, and why, and returns
// what it was told.
func (s *session) unopened(err error) *postgres.Login {
	s.base.counts.unreachable.Add(1)
	if s.server != nil {
		_ = s.server.Close() // it let us in, and we do not want it
	}
	var login *postgres.Login
	if !errors.As(err, &login) {
		login = &postgres.Login{Say: postgres.Say{Code: "58000", Message: "the session could not be opened", Hint: "the gateway's log has the details"}}
		s.g.cfg.Log.Error("open a session", "connection", s.Connection, "error", err)
	} else if login.Cause != nil {
		s.g.cfg.Log.Warn("open a session", "connection", s.Connection, "error", login.Cause)
	}
	s.client.Part(login.Say)
	return login
}

// opened records the beginning of a session.
func (s *session) opened(ctx context.Context) error {
	ev := s.event(audit.Connected)
	ev.Outcome, ev.Claims, ev.Database = "ok", identity.ClaimList(s.Who.Claims), s.base.place()
	_, err := s.record(ctx, ev, true)
	return err
}

// begin checks what was asked for and logs in to the database.
func (s *session) begin(ctx context.Context, st postgres.Startup) error {
	cfg := s.base.Database.Copy()
	if st.Database != s.Connection && st.Database != cfg.Database && st.Database != st.User {
		return &postgres.Login{Say: postgres.Say{Code: "3D000",
			Message: fmt.Sprintf("database %q is not served by connection %q", st.Database, s.Connection),
			Hint:    fmt.Sprintf("use database %q, or leave it out", cfg.Database)}}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if err := s.base.ready(ctx); err != nil {
		return err
	}
	for name, value := range st.Params {
		if own, ok := strings.CutPrefix(name, ours); ok {
			s.told(own, value)
			continue
		}
		cfg.RuntimeParams[name] = value
	}
	s.calls = newProgram(s.Who.Name())
	cfg.RuntimeParams[programName] = s.calls.given(cfg.RuntimeParams[programName])
	if _, set := st.Params["search_path"]; set {
		s.names.path = true
	}
	server, err := postgres.Dial(ctx, cfg, s.client)
	if err != nil {
		return err
	}
	s.server, s.role = server, cfg.User
	s.calls.greet(server.Settings)
	s.server.Within(s.share)
	return readable(server.Settings)
}

// readable refuses a session in which text would mean something else than we read.
func readable(settings map[string]string) error {
	if v := settings["standard_conforming_strings"]; v != "" && v != "on" {
		return &postgres.Login{Say: postgres.Say{Code: "22023", Message: "the database has standard_conforming_strings off for this role", Hint: "ask whoever runs it to set it to on for the gateway's role"}}
	}
	if v := settings["client_encoding"]; v != "" && !strings.EqualFold(v, "UTF8") {
		return &postgres.Login{Say: postgres.Say{Code: "22023", Message: "the session would not use UTF8", Hint: "set PGCLIENTENCODING=UTF8"}}
	}
	return nil
}

// run carries both ways until one ends, then ends the other and gives every
// statement still open its ending in the record. Up has the session's own goroutine:
// its stack is there anyway.
func (s *session) run(ctx context.Context) {
	var expires *time.Timer
	expires = time.AfterFunc(time.Hour, func() {
		if left := s.keep().Sub(s.g.cfg.Now()); left > 0 {
			expires.Reset(left) // it was renewed
			return
		}
		s.cut(errExpired)
	})
	expires.Reset(s.keep().Sub(s.g.cfg.Now()))
	defer expires.Stop()
	stop := context.AfterFunc(ctx, func() { s.end(ctx) })
	defer stop()
	ended := make(chan error, 1) // of down, one result, read below
	gone := make(chan struct{})  // closed when down has ended
	go func() {
		err := s.contained(func() error { return s.down(ctx) })
		close(gone)
		s.cut(errLeft)
		ended <- err
	}()
	up := s.part(s.contained(func() error { return s.up(ctx) }), gone)
	// The client is gone: what it sent may still run, as with a direct connection that is
	// closed; the server is told goodbye.
	s.cut(errLeft)
	down := <-ended
	s.finishOpen()
	s.unsure()
	s.closed(ctx, why(context.Cause(ctx), up, down))
}

// contained runs one way of the session. A panic in it ends this session, with what it
// had open in the record as lost, and no other.
func (s *session) contained(way func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.g.cfg.Log.Error("a session met a fault of the gateway", "session", s.id, "panic", p, "stack", string(debug.Stack()))
			s.cut(errFault)
			err = errFault
		}
	}()
	return way()
}

// closed records the end of a session.
func (s *session) closed(ctx context.Context, detail string) {
	ev := s.event(audit.Closed)
	ev.Outcome, ev.Detail = "ok", detail
	if _, err := s.record(context.WithoutCancel(ctx), ev, false); err != nil {
		s.g.log(err)
	}
}

// Why sessions end.
var (
	errLeft    = errors.New("ended")
	errExpired = errors.New("the login expired")
	errRights  = errors.New("the caller's groups changed")
	errKilled  = errors.New("ended by an administrator")
	errRecord  = errors.New("the record could not be written")
	errLost    = errors.New("the database closed the connection")
	errFault   = errors.New("a fault of the gateway")
)

// lastWordTime bounds telling a client why its session ends: one that does not read
// must not keep it alive.
const lastWordTime = time.Second

// end closes both connections, with a last word to the client if there is one. A
// write that is under way, to a client that does not read, ends too.
func (s *session) end(ctx context.Context) {
	if err := s.conn.SetWriteDeadline(time.Now().Add(lastWordTime)); err != nil {
		s.g.cfg.Log.Debug("bound the last word", "session", s.id, "error", err)
	}
	var no *identity.Barred
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errExpired):
		s.client.Fatal(postgres.Say{Code: "57P01", Message: "your login has expired", Hint: expiredHint(s.Who)})
	case errors.As(cause, &no):
		s.client.Fatal(postgres.Say{Code: "57P01", Message: no.Sentence, Hint: no.Hint})
	case errors.Is(cause, errRights):
		s.client.Fatal(postgres.Say{Code: "57P01", Message: "your identity provider says something else of you than before, your groups for example", Hint: "connect again: what you may do now applies"})
	case errors.Is(cause, errWindow):
		s.client.Fatal(postgres.Say{Code: "57P01", Message: cause.Error(), Hint: "ask for another with sluice request, and connect again"})
	case errors.Is(cause, errKilled):
		s.client.Fatal(postgres.Say{Code: "57P01", Message: cause.Error(), Hint: "ask them why before you connect again"})
	case errors.Is(cause, errFault):
		s.client.Fatal(postgres.Say{Code: "XX000", Message: "the gateway met a fault of its own, so the session ends", Hint: "connect again, and report what the gateway's log says"})
	case errors.Is(cause, errRecord):
		s.client.Fatal(postgres.Say{Code: "58030", Message: "the record can no longer be written, so the session ends", Hint: "tell whoever runs the gateway; nothing ran unrecorded"})
	case errors.Is(cause, errLeft):
		_ = s.server.Close() // as below
		_ = s.client.Close()
		return
	default:
		s.client.Fatal(postgres.Say{Code: "57P01", Message: "the gateway is shutting down", Hint: "connect again in a moment"})
	}
	s.abandon()
	// Both may be closed already by the side that ended first.
	_ = s.server.Close()
	_ = s.client.Close()
}

// abandon stops what the database runs for a session that we end: by itself it would
// find out only when the statement is over.
func (s *session) abandon() {
	if s.server.Quiet() {
		return
	}
	ctx, done := context.WithTimeout(context.Background(), lastWordTime)
	defer done()
	if err := s.server.Cancel(ctx); err != nil {
		s.g.cfg.Log.Warn("stop the statement of a session that was ended", "session", s.id, "error", err)
	}
}

func expiredHint(who identity.Identity) string {
	switch who.Kind {
	case identity.Person:
		return "run: sluice login, then connect again; sluice connect goes on by itself"
	case identity.Agent:
		return "connect again; if that fails, the login of the person it acts for has ended, and they run: sluice login"
	}
	return "a certificate of a job is good for 15 minutes, and so are its sessions: connect again, or split the work"
}

func why(cause, up, down error) string {
	var no *identity.Barred
	switch {
	case errors.As(cause, &no):
		return no.Sentence
	case errors.Is(cause, errExpired), errors.Is(cause, errKilled), errors.Is(cause, errWindow), errors.Is(cause, errRecord), errors.Is(cause, errFault):
		return cause.Error()
	}
	var v *postgres.Violation
	if errors.As(up, &v) {
		return "client: " + v.Error()
	}
	if errors.As(down, &v) {
		return "database: " + v.Error()
	}
	for _, known := range []error{errLost, errUnreadable} {
		if errors.Is(down, known) {
			return known.Error()
		}
	}
	return ""
}

// cancel is what Ctrl-C comes to: it ends a wait for people, else the database is
// asked to stop. It runs on the goroutine of the cancel request.
func (s *session) cancel() {
	if stop := s.holding.Load(); stop != nil {
		(*stop)()
		return
	}
	ctx, done := context.WithTimeout(context.Background(), dialTime)
	defer done()
	if err := s.server.Cancel(ctx); err != nil {
		s.g.cfg.Log.Warn("cancel a statement", "session", s.id, "error", err)
	}
}

func (s *session) setState(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// finishOpen records an ending for what was sent and never answered.
func (s *session) finishOpen() {
	s.mu.Lock()
	open := make([]*job, 0, len(s.open))
	for j := range s.open {
		open = append(open, j)
	}
	s.mu.Unlock()
	for _, j := range open {
		outcome := j.fate
		if outcome == "" {
			outcome = "lost"
		}
		for _, x := range j.runs {
			s.finish(j, x, &wire.Reply{}, outcome)
		}
	}
}
