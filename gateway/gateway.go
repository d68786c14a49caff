// Package gateway carries statements up and answers down. It is the only package
// that sees the whole path: who asks, what a statement would do, what the policy
// says of it, who approved it, what of the answer is hidden, and the record of all
// that. It guarantees that nothing reaches a database undecided or unrecorded, and
// that nothing of an answer passes whose origin was not considered.
//
// A session is two straight lines, up and down, each one goroutine. The tunnel's
// listener, the control messages (control.go) and the watch over each database's
// catalogue (database.go) are the other owners of goroutines; Serve ends them all.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/lineage/store"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/tunnel"
	"github.com/sluicehq/sluice/wire/postgres"
)

// Defaults of how long a statement is held for people (decision 10: in a
// transaction, locks are held meanwhile).
const (
	DefaultHold            = 15 * time.Minute
	DefaultHoldTransaction = time.Minute
	DefaultCertificateTTL  = 8 * time.Hour
)

// Connection is a database that callers may be given.
type Connection struct {
	Name     string         // what callers type
	Env      string         // "prod", "staging", …: what rules look at
	Groups   []string       // whose members may open it; nobody if empty, everyone who is let in with Everyone
	Database *pgconn.Config // how the gateway itself logs in
}

// Config of a gateway. All fields but those with a default are needed.
type Config struct {
	ID              string // stable name of this gateway
	Version         string
	Connections     []Connection
	Rules           *policy.Rules // in force until SetPolicy
	PolicySource    string        // file name, or "built-in"
	PolicyText      string
	Record          *audit.Log
	Literals        Literals            // what Record keeps of values that tell of people
	RecordDir       string              // where Record lies, for verification
	Index           *index.Index        // of Record; nil to read Record itself for each question
	Lineage         *store.Store        // of Record; nil to keep none
	Hooks           []Hook              // told of what waits for people
	StateDir        string              // what waits is kept here, for the next gateway; nothing is if empty
	Authority       *identity.Authority // nil if nobody can log in (sluice dev)
	Provider        *identity.Provider  // as above
	Workloads       *identity.Workloads // nil if no jobs are let in
	Standing        *identity.Standing  // nil if nobody can be locked, and there are no tokens
	Issuer          string              // told to clients that log in
	ClientID        string
	ClientSecret    string        // as above, where the provider wants one of programs on laptops
	Prompt          string        // as above: what the provider is asked to ask of people
	DeviceLogin     bool          // people may log in by device code
	Scopes          []string      // as above; the usual ones if empty
	Auditors        []string      // groups that may read the whole record
	Admins          []string      // groups that may see and end everyone's sessions
	CertificateTTL  time.Duration // default 8 hours
	Sessions        int           // most at once, default DefaultSessions
	SessionsEach    int           // most at once of one caller, default DefaultSessionsEach
	Memory          int64         // bytes for large messages of all sessions, default DefaultMemory
	Hold            time.Duration // default DefaultHold
	HoldTransaction time.Duration // default DefaultHoldTransaction
	Relabel         time.Duration // how often all columns are judged again, default DefaultRelabel
	Pseudonyms      []byte        // key of the pseudonyms that rules show, at least mask.MinPseudonymKey bytes; nil if none do
	Peers           *PeersConfig  // other gateways in front of the same databases; nil if there are none
	Labels          string        // file of the labels that people gave; "" keeps them in memory
	Triggers        []Trigger     // hooks that begin runbooks
	RunLease        time.Duration // that a run of a job counts as under way without a word, default DefaultRunLease

	// Book is the file of a runbook that a hook may begin, as it is now.
	Book func(ctx context.Context, name string) (BookFile, error)

	Now func() time.Time
	Log *slog.Logger
}

// Gateway serves sessions. It is safe for concurrent use.
type Gateway struct {
	cfg      Config
	desk     *approval.Desk
	cache    *query.Cache
	keys     postgres.Keys
	bases    map[string]*database
	memory   *postgres.Memory
	rulings  *rulings
	peers    *peers // nil if there are none
	sessions registry
	tunnels  tunnels
	meter    meter
	policies policies
	leases   leases
	book     *approval.Book
	hooks    []*hook
	triggers *triggers // nil if there are none
	runs     runs      // of runbooks
	jobRuns  jobRuns

	replaying sync.Mutex    // one at a time: it takes a processor for a while
	exporting chan struct{} // holds a token for each who takes the record; made by New
	reading   chan struct{} // holds a token for each ask whose history is read; made by New
}

// New makes a gateway; nothing is connected yet.
func New(cfg Config) (*Gateway, error) {
	if cfg.Record == nil || cfg.Rules == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("a gateway needs a record, rules, a clock and a logger")
	}
	if err := keyFor(cfg.Rules, cfg.Pseudonyms); err != nil {
		return nil, err
	}
	if cfg.Hold == 0 {
		cfg.Hold = DefaultHold
	}
	if cfg.HoldTransaction == 0 {
		cfg.HoldTransaction = DefaultHoldTransaction
	}
	if cfg.CertificateTTL == 0 {
		cfg.CertificateTTL = DefaultCertificateTTL
	}
	if cfg.Sessions == 0 {
		cfg.Sessions = DefaultSessions
	}
	if cfg.SessionsEach == 0 {
		cfg.SessionsEach = DefaultSessionsEach
	}
	if cfg.Memory == 0 {
		cfg.Memory = DefaultMemory
	}
	if cfg.Relabel == 0 {
		cfg.Relabel = DefaultRelabel
	}
	said, err := openRulings(cfg.Labels)
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg:   cfg,
		cache: query.NewCache(query.Config{}),
		bases: map[string]*database{},

		memory:  postgres.NewMemory(cfg.Memory),
		rulings: said,
		reading: make(chan struct{}, historyAtOnce), exporting: make(chan struct{}, exportsAtOnce),
	}
	if g.peers, err = newPeers(g, cfg.Peers); err != nil {
		return nil, err
	}
	voting := approval.Config{Now: cfg.Now, Barred: g.against, Tell: len(cfg.Hooks) > 0}
	g.desk = approval.NewDesk(voting)
	g.hooks = newHooks(g, cfg.Hooks)
	path := ""
	if cfg.StateDir != "" {
		if err := durable.MkdirAll(cfg.StateDir, 0o700); err != nil {
			return nil, err
		}
		path = filepath.Join(cfg.StateDir, "requests.json")
	}
	if g.book, err = approval.OpenBook(path, voting, g.desk.Wake); err != nil {
		return nil, err
	}
	g.policies.now.Store(newInForce(Policy{Rules: cfg.Rules, Source: cfg.PolicySource, Text: cfg.PolicyText}, cfg.Now()))
	for i, c := range cfg.Connections {
		if g.bases[c.Name] != nil {
			return nil, fmt.Errorf("connection %q is configured twice", c.Name)
		}
		g.bases[c.Name] = &database{Connection: c, number: uint64(i), log: cfg.Log, labeller: newLabeller(g), peers: g.peers, heard: make(chan struct{}, 1), aside: aside{turn: make(chan struct{}, 1)}}
	}
	if g.triggers, err = newTriggers(g, &cfg); err != nil {
		return nil, err
	}
	return g, nil
}

// Serve accepts clients on ln until ctx is done, and returns when every session
// and every goroutine it started has ended.
func (g *Gateway) Serve(ctx context.Context, ln net.Listener, cfg tunnel.Config) error {
	cfg.Admit = g.admit
	if g.peers != nil && cfg.TLS != nil {
		cfg.TLS = g.peers.cfg.Identity.Serve(cfg.TLS)
	}
	return g.Watch(ctx, func(ctx context.Context) error {
		return tunnel.Serve(ctx, ln, cfg, g.stream)
	})
}

// Watch keeps an eye on every database's catalogue while serve runs, and on the
// record: when it can no longer be written, everything stops.
func (g *Gateway) Watch(ctx context.Context, serve func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, base := range g.bases {
		group.Go(func() { base.watch(ctx) })
	}
	if g.cfg.Index != nil {
		group.Go(func() { g.cfg.Index.Run(ctx) })
	}
	if g.cfg.Lineage != nil {
		group.Go(func() { g.cfg.Lineage.Run(ctx) })
	}
	group.Go(func() { g.watchWindows(ctx) })
	group.Go(func() { g.hearAll(ctx) })
	for _, h := range g.hooks {
		group.Go(func() { h.deliver(ctx) })
	}
	group.Go(func() {
		select {
		case <-g.cfg.Record.Failed():
			cancel(fmt.Errorf("nothing may run: %w", errRecord)) // which its sessions are told
		case <-ctx.Done():
		}
	})
	p := g.policies.now.Load()
	if err := g.endLost(ctx); err != nil {
		cancel(err)
	}
	if err := g.note(audit.Event{Kind: audit.Started, Detail: "policy " + p.Source + " sha256:" + p.hash}); err != nil {
		cancel(err)
	}
	if err := g.noteRights(); err != nil {
		cancel(err)
	}
	if g.cfg.Lineage != nil { // runs that are lost come behind the start, in the record
		group.Go(func() { g.watchRuns(ctx) })
	}
	if g.triggers != nil { // what it goes on with comes behind the start, in the record
		group.Go(func() { g.triggers.serve(ctx) })
	}
	err := serve(ctx)
	for _, base := range g.bases {
		base.cases.end()
		base.aside.end()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	cancel(nil)
	group.Wait()
	return errors.Join(err, g.note(audit.Event{Kind: audit.Stopped}))
}

// stream serves one stream of a client's tunnel.
func (g *Gateway) stream(ctx context.Context, st *tunnel.Stream) {
	defer st.Close()
	switch st.Header.Kind {
	case tunnel.API:
		g.serveAPI(ctx, st)
	case tunnel.Postgres:
		g.servePostgres(ctx, st)
	default:
		g.reject(st, fmt.Sprintf("this gateway does not serve streams of kind %q", st.Header.Kind), "update sluice on one of the two sides")
	}
}

func (g *Gateway) reject(st *tunnel.Stream, sentence, hint string) {
	if err := st.Reject(sentence, hint); err != nil {
		g.cfg.Log.Debug("reject a stream", "error", err)
	}
}

func (g *Gateway) servePostgres(ctx context.Context, st *tunnel.Stream) {
	if c := g.wanted(ctx, st); c != nil {
		g.Session(ctx, st, *c)
	}
}

// wanted says who wants to use which connection through a stream; nil if that is refused.
func (g *Gateway) wanted(ctx context.Context, st *tunnel.Stream) *Caller {
	who, key, err := g.caller(st.TLS)
	if err != nil {
		g.reject(st, "you are not logged in", "run: sluice login")
		return nil
	}
	if no := g.barred(who); no != nil {
		g.reject(st, no.Sentence, no.Hint)
		return nil
	}
	if g.open(who, st.Header.Connection) == nil {
		g.reject(st, fmt.Sprintf("there is no connection %q for you", st.Header.Connection), "run: sluice ls")
		return nil
	}
	if err := g.ofRun(ctx, who, st.Header.Run); err != nil {
		e, _ := api.AsError(err)
		g.reject(st, e.Sentence, e.Hint)
		return nil
	}
	if err := st.Accept(); err != nil {
		return nil
	}
	return &Caller{Who: who, Key: key, Connection: st.Header.Connection, Verifier: st.Header.Verifier, From: st.RemoteAddr().String(), Run: st.Header.Run}
}

// note appends an event that belongs to no session.
func (g *Gateway) note(ev audit.Event) error {
	ev.Time = g.cfg.Now()
	t, err := g.cfg.Record.Append(ev)
	if err != nil {
		return fmt.Errorf("record %s: %w", ev.Kind, err)
	}
	return t.Durable(context.Background())
}
