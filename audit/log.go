// Package audit is the record of what was asked, decided and done. It promises:
//
//   - An event for which Append returned survives a crash of this process; one
//     for which Ticket.Durable returned survives a power cut. Of what came with
//     Later a crash may lose the last milliseconds.
//   - After a write or fsync error nothing more is accepted, so that whoever may
//     not act without a record stops. The same holds once the files were removed,
//     moved or replaced, which the next fsync notices.
//   - A byte of an entry that is changed, removed, inserted or moved after a
//     checkpoint covered it is found by Verify, which says where, and can be
//     found by anyone who has the public key: format.md says how.
//
// The record is read without the writer's help: Query and Verify work on the
// files, also while a log is open. A Log owns two goroutines, syncLoop and
// sealLoop, which end with Close.
package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Config of a log.
type Config struct {
	Dir        string           // directory of the log, created 0700
	KeyFile    string           // signing key, created 0600; default Dir with ".key" added, so beside the log and not in it
	Origin     string           // checkpoint origin line, e.g. "sluice/GATEWAY-ID"; no spaces, no plus sign
	Durability string           // "balanced" (default) or "strict"; in balanced, Append without Durable is on disk within 50 ms
	Now        func() time.Time // for events that come without a time; default time.Now
	Log        *slog.Logger     // default: nothing is logged

	disk      disk          // in tests, one that breaks
	sealEvery time.Duration // in tests, never
	syncDelay time.Duration // as above
}

// The two promises about when an event is on disk that nobody waits for.
const (
	Balanced = "balanced" // within 50 ms
	Strict   = "strict"   // as soon as the disk can: the fsync starts with the write, and answers wait for it
)

const (
	// syncDelay is how long an event may wait for company before an fsync, in
	// balanced: the promise is 50 ms, less what the fsync itself may take.
	syncDelay = 25 * time.Millisecond
	// sealEvery is how often a checkpoint is made when there are new entries.
	// What was written since the last one is what could be cut off unseen.
	sealEvery = time.Second
	// historyEvery is how often a checkpoint is also kept for ever. One a second
	// would be 5 GB a year and make verification a matter of hours.
	historyEvery = time.Minute
	// maxUnsynced bounds what waits for a slow disk: beyond it, Append waits too.
	maxUnsynced = 1 << 16
)

// Errors a caller may tell apart.
var (
	ErrInUse  = errors.New("the record is already open, here or in another process")
	ErrClosed = errors.New("the record is closed")
)

// Log is an open record, safe for concurrent use.
//
// Locks are taken in the order wmu, smu, mu. Nothing waits for the disk with mu
// held.
type Log struct {
	cfg      Config
	idPrefix string
	lock     *os.File

	failed chan struct{}   // closed with the first error
	urgent chan struct{}   // size 1: somebody waits for an fsync
	dirty  chan struct{}   // size 1: there is something to fsync
	asked  chan chan error // Seal to sealLoop: make a checkpoint now
	turns  chan turn       // Rotate to sealLoop: another key signs
	stop   chan struct{}   // closed by Close
	loops  sync.WaitGroup

	wmu  sync.Mutex // held while writing to the segment
	base uint64     // first Seq of the current segment; set under wmu and smu, read under either

	smu sync.Mutex // held while fsyncing or changing the segment

	turning sync.Mutex // held while a key is replaced, before any other

	mu      sync.Mutex    // guards what follows
	key     key           // that signs; written by sealLoop only, which reads it without mu
	keys    keyring       // all that ever did; as key
	file    appendFile    // the current segment
	next    uint64        // Seq of the next event
	gather  *batch        // events accepted, not yet taken by a writer
	spare   []byte        // buffer of a batch that was written, for reuse
	written uint64        // events handed to the operating system
	synced  uint64        // events on disk
	leaves  []tlog.Hash   // of the written events that no checkpoint covers yet
	marked  bool          // dirty was sent and not yet acted upon
	round   chan struct{} // closed and replaced when synced grows
	err     error         // the first error, which ended the log
	closed  bool
	sealed  uint64 // entries under the last checkpoint
	syncs   Stats  // of it, what is about fsyncs

	seal sealer // owned by sealLoop; by Open before it starts, by Close after it ended
}

// Open opens the log in cfg.Dir, making it when it is not there. What a crash
// left half-written is removed, if it can never have been acknowledged; any
// other damage is an error that says where it is.
func Open(cfg Config) (*Log, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := cfg.disk.mkdir(cfg.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	l := &Log{
		cfg:    cfg,
		lock:   lock,
		failed: make(chan struct{}),
		urgent: make(chan struct{}, 1),
		dirty:  make(chan struct{}, 1),
		stop:   make(chan struct{}),
		asked:  make(chan chan error),
		turns:  make(chan turn),
		gather: &batch{},
		round:  make(chan struct{}),
	}
	if err := l.start(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	l.loops.Add(2)
	go l.syncLoop()
	go l.sealLoop()
	return l, nil
}

func (c *Config) complete() error {
	if c.Dir == "" {
		return errors.New("open the record: no directory given")
	}
	if err := checkOrigin(c.Origin); err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	switch c.Durability {
	case "":
		c.Durability = Balanced
	case Balanced, Strict:
	default:
		return fmt.Errorf("open the record: durability %q is neither %q nor %q", c.Durability, Balanced, Strict)
	}
	if c.KeyFile == "" {
		c.KeyFile = filepath.Clean(c.Dir) + ".key"
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of a setting, for callers who have no other clock
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.disk == nil {
		c.disk = realDisk{}
	}
	if c.sealEvery == 0 {
		c.sealEvery = sealEvery
	}
	if c.syncDelay == 0 {
		c.syncDelay = syncDelay
	}
	return nil
}

// start loads or makes the key, recovers the state, and seals what a crash left
// unsealed.
func (l *Log) start() error {
	if err := l.identify(); err != nil {
		return err
	}
	if err := l.recover(); err != nil {
		return err
	}
	if err := l.sealNow(true); err != nil {
		return fmt.Errorf("open the record: %w", err)
	}
	return nil
}

// Strict reports whether whoever acts on an event waits until it is on disk.
func (l *Log) Strict() bool { return l.cfg.Durability == Strict }

// VerifierKey is the public key that signs the log now, in the note format, to be given to
// whoever shall verify it. Verify it by another way than by the log's own files.
func (l *Log) VerifierKey() string {
	k, _ := l.signing()
	return k.public
}

// Failed is closed after a write or fsync error. From then on Append fails:
// after a failed fsync the operating system may have dropped the bytes and
// forgotten that it did, so trying again would claim what nobody knows.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Err is the error that ended the log, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Size is how many events the log has.
func (l *Log) Size() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written
}

// fail ends the log with err, unless it already ended.
func (l *Log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = fmt.Errorf("the record stopped: %w", err)
	close(l.failed)
	l.cfg.Log.Error("the record stopped, nothing is recorded any more", "error", err)
}

// Close puts everything on disk under a last checkpoint and gives the log back.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.mu.Unlock()

	// Those whose events were accepted before are still served.
	l.wmu.Lock()
	l.writeGathered()
	l.wmu.Unlock()
	close(l.stop)
	l.loops.Wait()

	l.syncNow()
	err := l.Err()
	if err == nil {
		err = l.sealNow(true)
	}
	return errors.Join(err, l.release())
}

// release closes the files.
func (l *Log) release() error {
	var errs []error
	if l.file != nil {
		errs = append(errs, l.file.Close())
	}
	if l.seal.history != nil {
		errs = append(errs, l.seal.history.Close())
	}
	return errors.Join(append(errs, l.lock.Close())...)
}

// Flush hands to the operating system what has gathered, so that whoever reads the files
// finds all that was added before.
func (l *Log) Flush() error { return l.writeOut() }
