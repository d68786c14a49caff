package audit

import "time"

// SyncBounds are the upper bounds of Stats.SyncTimes.
var SyncBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second,
}

// Stats is how a log is doing.
type Stats struct {
	Entries   uint64                  // accepted
	Synced    uint64                  // of them on disk
	Sealed    uint64                  // of them under a checkpoint
	Syncs     uint64                  // fsyncs
	SyncTime  time.Duration           // that they took together
	SyncTimes [len(SyncBounds)]uint64 // of them, how many took no longer than each of SyncBounds
	Failed    bool                    // nothing is accepted any more
}

// Stats says how the log is doing.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.syncs
	s.Entries, s.Synced, s.Sealed, s.Failed = l.next, l.synced, l.sealed, l.err != nil
	return s
}

// timed counts an fsync.
func (l *Log) timed(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.syncs.Syncs++
	l.syncs.SyncTime += took
	for i, bound := range SyncBounds {
		if took <= bound {
			l.syncs.SyncTimes[i]++
		}
	}
}
