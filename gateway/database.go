package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire/postgres"
)

const (
	// pollEvery is how often a catalogue is checked for changes made elsewhere: one
	// look on the gateway's own connection.
	pollEvery = 10 * time.Second
	// lookEvery is how often at most it is checked besides, for statements that name
	// what it does not have. Who sends many of those does not load the database.
	lookEvery = time.Second
	// copyEvery is the same for COPY, of which nothing says by number what it copies.
	copyEvery = 100 * time.Millisecond
	// lookShare bounds what looks for statements that only may have a name that moved cost:
	// a fiftieth of the time of the database's connection that is the gateway's.
	lookShare = 50
	// refreshTime bounds reading a catalogue while a statement waits for it.
	refreshTime = 30 * time.Second
)

// database is a connection with what is known of the database behind it.
type database struct {
	Connection
	number uint64 // place in the configuration; tells cache entries apart
	log    *slog.Logger

	current atomic.Pointer[known]
	changes atomic.Uint64 // grows with every change of the catalogue seen

	mu     sync.Mutex      // held while the catalogue is read, and while labels are put to use
	conn   *pgx.Conn       // guarded by mu; nil until needed and after an error
	reader *catalog.Reader // guarded by mu; of conn

	aside aside          // for what approvers want to know
	cases investigations // what they are still to be told

	looked time.Time    // guarded by mu: when it was last found to be up to date
	dueAt  atomic.Int64 // when it is worth another look, in nanoseconds since 1970, for who does not hold mu

	peers *peers        // nil if there are none
	heard chan struct{} // one that was silent is heard

	labeller // see label.go
	newborn  // see made.go

	counts counters // see stats.go
}

// known is a catalogue that is in use.
type known struct {
	*catalog.Snapshot
	certain *catalog.Snapshot  // without what is only doubted because another gateway is silent
	told    map[query.Ref]bool // columns of which the labels kept say that they are personal
	path    []string           // search_path of a fresh session, resolved
	seen    uint64             // changes when it was read
	number  uint64             // grows with every read that found a change: part of cache keys
	holders map[query.Ref]bool // relations with a column of personal data
	paths   [2]query.Schema    // the catalogue as a fresh session sees it, and with an unknown search_path
	abouts  *abouts            // of statements, under this catalogue
}

// ready makes sure that the catalogue has been read once.
func (d *database) ready(ctx context.Context) error {
	if d.current.Load() != nil {
		return nil
	}
	d.peers.begun(ctx)
	return d.refresh(ctx)
}

// snapshot is the catalogue in use; empty before the first read.
func (d *database) snapshot() *catalog.Snapshot {
	if k := d.current.Load(); k != nil {
		return k.Snapshot
	}
	return nil
}

// stale notes that a statement may have changed the catalogue.
func (d *database) stale() { d.changes.Add(1) }

// forText is the catalogue for a request: after all changes that were noted, unless what
// it asks for depends on nothing in it. Nobody waits for a refresh that he does not
// need: not BEGIN, not COMMIT, and not what drivers send to see whether we are there.
func (d *database) forText(ctx context.Context, sql string) *known {
	k := d.current.Load()
	if k != nil && d.peers.uneasy(k.Identity) {
		d.stale()
	}
	if k != nil && k.seen != d.changes.Load() && needsNone(sql) {
		return k
	}
	return d.fresh(ctx)
}

// probe is a query that names nothing.
var probe = regexp.MustCompile(`(?i)^\s*select\s+(\d{1,9}|'[^'\\]{0,20}')\s*;?\s*$`)

// needsNone reports whether a text means the same under every catalogue.
func needsNone(sql string) bool {
	const longest = 200 // what is meant here is short
	if len(sql) > longest {
		return false
	}
	for _, st := range query.Analyze(sql, nil) {
		switch st.Kind {
		case query.Transaction, query.Set, query.Show, query.Deallocate, query.Close, query.Listen, query.Empty:
		case query.Select:
			if !probe.MatchString(st.SQL) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// fresh is the catalogue after all changes that were noted. If it cannot be read,
// nothing is known: every statement then has columns of unknown origin.
func (d *database) fresh(ctx context.Context) *known {
	k := d.current.Load()
	if k != nil && k.seen == d.changes.Load() {
		return k
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	if err := d.refresh(ctx); err != nil {
		d.log.Error("read the catalogue", "connection", d.Name, "error", err)
		return &known{abouts: &abouts{}}
	}
	return d.current.Load()
}

// refresh reads the catalogue if it changed, and labels what is new.
func (d *database) refresh(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.current.Load()
	changes := d.changes.Load()
	if old != nil && old.seen == changes {
		return nil // another session has just done it
	}
	_, err := d.load(ctx, changes)
	return err
}

// behind reports whether the catalogue is no longer k: if it was not checked a moment
// ago it is now, and read again if it changed. A table that somebody made elsewhere is
// there for who names it, and does not wait for the next poll. A moment is every.
func (d *database) behind(ctx context.Context, k *known, every time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.current.Load()
	switch {
	case now == nil || k.Snapshot == nil:
		return false
	case now.number != k.number:
		return true
	case time.Since(d.looked) < every:
		return false
	}
	d.looked = time.Now()
	changed, err := d.load(ctx, d.changes.Load())
	if err != nil {
		d.log.Warn("read a changed catalogue", "connection", d.Name, "error", err)
	}
	d.dueAt.Store(d.looked.Add(max(lookEvery, lookShare*time.Since(d.looked))).UnixNano())
	return changed
}

// due reports whether it was not looked at for a while: a second, or longer if a look
// takes long.
func (d *database) due() bool { return time.Now().UnixNano() >= d.dueAt.Load() }

// load reads what changed of the catalogue, and reports whether anything did; d.mu is
// held. Until it has been read once everything is new. It starts from what is in use: from
// an older one, labels that others gave meanwhile would be lost.
func (d *database) load(ctx context.Context, changes uint64) (changed bool, err error) {
	old := d.current.Load()
	if err := d.connect(ctx); err != nil {
		return false, err
	}
	k := &known{seen: changes, number: 1, abouts: &abouts{}}
	var previous *catalog.Snapshot
	if old != nil {
		previous, k.number = old.certain, old.number+1
	}
	if k.Snapshot, err = d.reader.Read(ctx, previous); err == nil {
		err = d.conn.QueryRow(ctx, "select pg_catalog.current_schemas(false)").Scan(&k.path)
	}
	if err != nil {
		d.drop(ctx)
		return false, fmt.Errorf("read the catalogue of %s: %w", d.Name, err)
	}
	if old != nil && k.Snapshot == previous && slices.Equal(k.path, old.path) {
		next := *old
		next.seen = changes
		d.current.Store(&next)
		return false, nil
	}
	if d.peers != nil && k.Identity == "" {
		return false, fmt.Errorf("read the catalogue of %s: the gateway's role may not call pg_control_system(), so that peers cannot know which database it is", d.Name)
	}
	var budget catalog.Budget
	if old != nil { // what is new is looked at; the rest was, and is again now and then
		budget.Only = k.without()
	}
	if err := d.label(ctx, k, unlabelled, budget); err != nil {
		d.log.Warn("some columns could not be sampled; they stay unknown", "connection", d.Name, "error", err)
	}
	d.publish(k)
	return true, nil
}

// without are the relations that have a column without a label.
func (k *known) without() map[query.Ref]bool {
	out := map[query.Ref]bool{}
	for ref, c := range k.Columns() {
		if unlabelled(ref, c) {
			out[query.Ref{Schema: ref.Schema, Table: ref.Table}] = true
		}
	}
	return out
}

// publish puts a catalogue with its labels to use; d.mu is held.
func (d *database) publish(k *known) {
	k.certain = k.Snapshot
	k.Snapshot = d.doubted(k.certain)
	k.settle()
	d.current.Store(k)
}

// settle works out what follows from the snapshot, once its labels are there.
func (k *known) settle() {
	k.holders = map[query.Ref]bool{}
	for ref, c := range k.Columns() {
		if c.Label.PII {
			k.holders[query.Ref{Schema: ref.Schema, Table: ref.Table}] = true
		}
	}
	k.paths = [2]query.Schema{k.InPath(k.path), k.InPath(nil)}
}

// connect opens the gateway's own connection; d.mu is held.
func (d *database) connect(ctx context.Context) error {
	if d.conn != nil && !d.conn.IsClosed() {
		return nil
	}
	cfg, err := pgx.ParseConfig("")
	if err != nil {
		return err
	}
	cfg.Config = *postgres.Guarded(d.Database)
	cfg.RuntimeParams["application_name"] = "sluice catalogue"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return postgres.Explain(d.Database, err)
	}
	d.conn, d.reader = conn, &catalog.Reader{Conn: conn}
	return nil
}

func (d *database) drop(ctx context.Context) {
	if d.conn != nil {
		// It may be broken already; what matters is that it is not used again.
		_ = d.conn.Close(context.WithoutCancel(ctx))
		d.conn, d.reader = nil, nil
	}
}

// watch looks for changes made elsewhere, judges all columns again now and then, and
// looks at what passes, until ctx is done.
func (d *database) watch(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	again := time.NewTicker(d.relabelEvery)
	defer again.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	judging := make(chan struct{}, 1) // has something in it while all columns are judged
	for {
		select {
		case <-ctx.Done():
			d.mu.Lock()
			d.drop(ctx)
			d.mu.Unlock()
			return
		case <-tick.C:
			d.poll(ctx)
		case <-again.C:
			select {
			case judging <- struct{}{}:
				all.Go(func() { d.relabel(ctx, nil); <-judging })
			default:
			}
		case <-d.heard:
			d.reconsider()
		case table := <-d.loaded:
			d.relabel(ctx, map[query.Ref]bool{table: true})
		case p := <-d.passed:
			d.inspect(ctx, p)
		}
	}
}

func (d *database) poll(ctx context.Context) {
	if d.current.Load() == nil {
		return // nobody has used it yet
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.load(ctx, d.changes.Load()); err != nil {
		d.log.Warn("look for catalogue changes", "connection", d.Name, "error", err)
	}
}

// personal reports whether a column, or any column of a relation, holds personal
// data or is not known not to.
func (k *known) personal(r query.Ref) bool {
	if k == nil || k.Snapshot == nil {
		return true
	}
	if r.Column != "" {
		label, ok := k.Label(r)
		return !ok || label.PII
	}
	_, ok := k.Relation(r.Schema, r.Table)
	return !ok || k.holders[r]
}
