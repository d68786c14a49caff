// Package index answers questions of the record without reading all of it. It promises:
//
//   - It is derived: everything in it comes from the record, and it can be thrown away.
//     One that is missing, damaged, of another version or of another record is made
//     anew, and says so.
//   - It never stands in a statement's way: it reads the files of the record behind the
//     log, and if it fails, answers come from the record itself, slower.
//   - What an answer lists was read from the record and checked there. An index that is
//     wrong may leave something out; it cannot make something up.
//   - Each answer includes what was in the record when it was asked for.
//
// Several processes may open one index: the gateway that follows the record, and the
// command line. Run is the one goroutine, owned by its caller.
package index

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/internal/durable"
)

// Config of an index.
type Config struct {
	Record string       // directory of the record
	Path   string       // of the index file; default Record with ".index" added, so beside the record and not in it
	Flush  func() error // has what the log still gathers be written; nil if the record is not open here
	Tail   *audit.Tail  // of the record, for whoever else follows it in this process; may be nil
	Log    *slog.Logger // default: nothing is logged

	maxPages int    // in tests, a disk that is full
	batch    uint64 // entries of one transaction; in tests, few
}

// Index is an open index, safe for concurrent use.
type Index struct {
	cfg    Config
	follow *audit.Follower

	mu    sync.Mutex // held while the index grows or is made anew
	dict  *dictionary
	edge  *edge   // nil if nothing is known of it
	db    *sql.DB // one connection, which writes
	reads *sql.DB // read-only
	place audit.Place
	known *lookups // of this file
	first uint64   // entries before it were taken out
	why   string   // why it was made anew, until somebody was told

	closed bool
	taken  atomic.Uint64 // place.Seq, for those who do not wait
}

const (
	// followEvery is how often Run looks for new entries: an answer catches up by
	// itself, so this only bounds how much that is.
	followEvery = 250 * time.Millisecond
	// retryEvery is how often Run tries again after an error, such as a full disk.
	retryEvery = 5 * time.Second
	// answerEntries is how far an answer catches up by itself. An index that is further
	// behind is being built, and the record answers meanwhile.
	answerEntries = 200_000
	// cacheKiB is the page cache of who writes, in KiB.
	cacheKiB = 64 << 10
)

// New gives the index of a record. The file is opened, or made when it is not there,
// when it is first needed: whatever is wrong with it, whoever has an index has answers.
func New(cfg Config) *Index {
	if cfg.Path == "" {
		cfg.Path = strings.TrimRight(filepath.Clean(cfg.Record), string(filepath.Separator)) + ".index"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.batch == 0 {
		cfg.batch = batchEntries
	}
	if cfg.Tail == nil {
		cfg.Tail = audit.NewTail(cfg.Record)
	}
	return &Index{cfg: cfg, follow: cfg.Tail.Follow()}
}

// open opens the file, or makes it anew when it is no index of this record. It needs mu.
func (x *Index) open() error {
	why, err := x.attach()
	if err != nil && !damaged(err) {
		return errors.Join(err, x.detach())
	}
	if err != nil {
		why = "it is damaged: " + err.Error()
	}
	if why == "" {
		return nil
	}
	return x.anew(why)
}

// anew throws the index away and begins another. It needs mu.
func (x *Index) anew(why string) error {
	_ = x.detach() // what it says of a damaged file does not matter
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(x.cfg.Path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make the index of the record anew: %w", err)
		}
	}
	x.why = why
	x.cfg.Log.Warn("the index of the record is made anew", "why", why)
	if _, err := x.attach(); err != nil {
		return errors.Join(err, x.detach())
	}
	return nil
}

// attach opens the file, and makes it where there is none. It gives why it cannot be
// used as it is, "" if it can.
func (x *Index) attach() (why string, err error) {
	if err := durable.MkdirAll(filepath.Dir(x.cfg.Path), 0o700); err != nil {
		return "", fmt.Errorf("open the index of the record: %w", err)
	}
	file, err := os.OpenFile(x.cfg.Path, os.O_RDWR|os.O_CREATE, 0o600) // it has statements in it, as the record
	if err != nil {
		return "", fmt.Errorf("open the index of the record: %w", err)
	}
	info, err := file.Stat()
	if err := errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("open the index of the record: %w", err)
	}
	pragmas := []string{"journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(10000)", fmt.Sprintf("cache_size(-%d)", cacheKiB), "temp_store(MEMORY)"}
	if x.cfg.maxPages > 0 {
		pragmas = append(pragmas, fmt.Sprintf("max_page_count(%d)", x.cfg.maxPages))
	}
	if x.db, err = sql.Open("sqlite", dsn(x.cfg.Path, "rwc", pragmas)); err != nil {
		return "", fmt.Errorf("open the index of the record: %w", err)
	}
	x.db.SetMaxOpenConns(1)
	if x.reads, err = sql.Open("sqlite", dsn(x.cfg.Path, "ro", []string{"query_only(1)", "busy_timeout(10000)", "cache_size(-16384)", "temp_store(MEMORY)"})); err != nil {
		return "", fmt.Errorf("open the index of the record: %w", err)
	}
	if info.Size() == 0 {
		if _, err := x.db.Exec("BEGIN IMMEDIATE;" + schema + "COMMIT;"); err != nil {
			return "", fmt.Errorf("make the index of the record: %w", err)
		}
		if err := x.sign(); err != nil {
			return "", err
		}
		x.cfg.Log.Info("an index of the record is made", "file", x.cfg.Path)
	}
	x.dict, x.edge, x.known = newDictionary(), nil, &lookups{}
	if err := x.db.QueryRow("SELECT 1 FROM block LIMIT 1").Scan(new(int)); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	foreign, err := x.foreign()
	if err != nil || foreign != "" {
		return foreign, err
	}
	return "", nil
}

func dsn(path, mode string, pragmas []string) string {
	q := url.Values{"_pragma": pragmas, "mode": {mode}, "_txlock": {"immediate"}}
	if mode == "ro" {
		q.Del("_txlock")
	}
	return (&url.URL{Scheme: "file", Opaque: url.PathEscape(filepath.ToSlash(path)), RawQuery: q.Encode()}).String()
}

// sign notes whose index this is.
func (x *Index) sign() error {
	key, err := os.ReadFile(filepath.Join(x.cfg.Record, "log.vkey"))
	if err != nil {
		return fmt.Errorf("make the index of the record: %w", err)
	}
	_, err = x.db.Exec("INSERT INTO about VALUES ('version', ?), ('record', ?), ('seq', 0), ('offset', 0), ('last', '')", version, string(key))
	if err != nil {
		return fmt.Errorf("make the index of the record: %w", err)
	}
	return nil
}

// foreign says why this is no index of the record as it is now: of another version or
// another record, or ahead of it, since an older state was put back.
func (x *Index) foreign() (string, error) {
	about := map[string]string{}
	rows, err := x.db.Query("SELECT key, value FROM about")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			return "", err
		}
		about[k] = v
	}
	if err := rows.Err(); err != nil {
		return "", err
	}
	key, err := os.ReadFile(filepath.Join(x.cfg.Record, "log.vkey"))
	if err != nil {
		return "", fmt.Errorf("open the index of the record: %w", err)
	}
	switch {
	case about["version"] != strconv.Itoa(version):
		return "it is of another version of sluice", nil
	case about["record"] != string(key):
		return "it is of another record", nil
	}
	if x.place, err = placeOf(about["seq"], about["offset"]); err != nil {
		return err.Error(), nil
	}
	x.taken.Store(x.place.Seq)
	if about["last"] == "" {
		return "", nil
	}
	if !x.holds(about["last"]) {
		return "the record is not the one that it was made of: an older state was put back, or the end was changed", nil
	}
	return "", nil
}

// holds says whether the record still has the entry up to which the index goes.
// about.last is where that begins, and its hash.
func (x *Index) holds(last string) bool {
	offset, want, _ := strings.Cut(last, " ")
	at, err := strconv.ParseInt(offset, 10, 64)
	if err != nil || x.place.Seq == 0 {
		return false
	}
	same := false
	_, err = audit.Forward(context.Background(), x.cfg.Record, audit.Place{Seq: x.place.Seq - 1, Offset: at}, func(_ audit.Place, line []byte) error {
		same = lineHash(line) == want
		return errEnough
	})
	return errors.Is(err, errEnough) && same
}

var errEnough = errors.New("enough")

func lineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:16])
}

func placeOf(seq, offset string) (audit.Place, error) {
	s, err1 := strconv.ParseUint(seq, 10, 64)
	o, err2 := strconv.ParseInt(offset, 10, 64)
	if err1 != nil || err2 != nil || o < 0 {
		return audit.Place{}, errors.New("it does not say how far it goes")
	}
	return audit.Place{Seq: s, Offset: o}, nil
}

// damaged says whether err means that the file is no longer an index, so that only
// making it anew helps.
func damaged(err error) bool {
	if errors.Is(err, errBlock) {
		return true
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT:
		return true
	case sqlite3.SQLITE_ERROR: // a table or column that is not there
		return strings.Contains(e.Error(), "no such")
	}
	return false
}

// detach closes the file.
func (x *Index) detach() error {
	var errs []error
	for _, db := range []*sql.DB{x.db, x.reads} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	x.db, x.reads = nil, nil
	return errors.Join(errs...)
}

// Close gives the file back.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	return x.detach()
}

// Run follows the record until ctx is done. It returns no error: what goes wrong with
// an index is logged, and tried again.
func (x *Index) Run(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		next := followEvery
		if err := x.CatchUp(ctx); err != nil && ctx.Err() == nil {
			x.cfg.Log.Warn("the index of the record falls behind, answers come from the record itself", "error", err)
			next = retryEvery
		}
		wait.Reset(next)
	}
}

// CatchUp takes in what the record has got since. An index that turns out to be damaged
// is made anew.
func (x *Index) CatchUp(ctx context.Context) error {
	_, err := x.catchUp(ctx, 0)
	return err
}

// catchUp is CatchUp for at most limit entries, 0 for all. It says whether it got to
// the end.
func (x *Index) catchUp(ctx context.Context, limit uint64) (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	done, err := x.grow(ctx, limit)
	if err != nil && damaged(err) {
		if err = x.anew("it is damaged: " + err.Error()); err == nil {
			done, err = x.grow(ctx, limit)
		}
	}
	return done, err
}

// Rebuilt says once why the index was made anew, "" if it was not.
func (x *Index) Rebuilt() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	why := x.why
	x.why = ""
	return why
}

// broken has the index made anew the next time it grows, after an answer failed.
func (x *Index) broken(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.anew("it is damaged: " + err.Error()); err != nil {
		x.cfg.Log.Warn("the index of the record is damaged and cannot be made anew", "error", err)
	}
}

// Place is the first entry that the index has not taken in, as far as is known without
// waiting for it.
func (x *Index) Place() uint64 { return x.taken.Load() }

// Size is how many bytes the index takes.
func (x *Index) Size() int64 {
	var n int64
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(x.cfg.Path + suffix); err == nil {
			n += info.Size()
		}
	}
	return n
}
