package postgres

import (
	"errors"
	"time"
)

// errMemory refuses a name for which there is no memory.
var errMemory = errors.New("the gateway has no memory left for what the statements and cursors of this session hold")

const (
	freeNames = 64 << 10 // of texts and parameters behind names, a session keeps so much uncounted: most need less
	claimStep = 64 << 10 // and takes more in such steps
	nameCost  = 256      // what a name takes besides
)

// memory is what the names of a session take; part of the ledger and guarded by its
// mutex.
type memory struct {
	share *Share
	kept  int // bytes behind names
	taken int // what of the share is for them
	lent  int // what was taken for a large message, and may go over to them
}

// size is what a statement takes.
func (p *prepared) size() int {
	if p == nil {
		return 0
	}
	return nameCost + len(p.Name) + len(p.SQL) + 4*len(p.Types)
}

// size is what a portal takes; a cursor made by SQL has its text too.
func (p *portal) size() int {
	if p == nil {
		return 0
	}
	n := nameCost
	for _, v := range p.params {
		n += 32 + len(v.Value)
	}
	if p.cursor {
		n += p.prepared.size()
	}
	return n
}

// room reports whether n more bytes may be kept, and takes them from the share.
func (l *ledger) room(n int) bool {
	need := l.kept + n - freeNames - l.taken
	if need <= 0 {
		return true
	}
	need = (need + claimStep - 1) / claimStep * claimStep
	if !l.share.keep(need, min(l.lent, need)) {
		return false
	}
	l.taken += need
	l.lent -= min(l.lent, need)
	return true
}

// rebalance gives back what is taken and no longer needed.
func (l *ledger) rebalance() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if spare := l.taken - max(0, l.kept-freeNames); spare > 2*claimStep {
		spare -= spare % claimStep // steps stay whole: what just fitted fits again
		l.share.unkeep(spare)
		l.taken -= spare
	}
	l.share.give(l.lent)
	l.lent = 0
}

// lend hands half of what a large message took over to the ledger, which will keep
// its parameters or its text, so that it need not seek room for them.
func (r *reader) lend(l *ledger) {
	if r.claimed == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	half := r.claimed / 2
	r.claimed -= half
	l.lent += half
}

func (l *ledger) setStatement(name string, p *prepared) {
	l.dropStatement(name)
	l.statements[name] = p
	l.kept += p.size()
}

func (l *ledger) dropStatement(name string) {
	if p := l.statements[name]; p != nil {
		l.kept -= p.size()
		delete(l.statements, name)
	}
}

func (l *ledger) setPortal(name string, p *portal) {
	l.dropPortal(name)
	l.portals[name] = p
	l.kept += p.size()
}

func (l *ledger) dropPortal(name string) {
	if p := l.portals[name]; p != nil {
		l.kept -= p.size()
		delete(l.portals, name)
	}
}

// Within has large messages from the database taken from s too. It is called before
// the first Receive.
func (s *Server) Within(share *Share) {
	// A row that is looked at is here three times: as it came, as it is shown, and as
	// it leaves.
	s.in.share, s.in.copies = share, 3
	s.in.hurry = func() {
		interrupt(s.conn)
		_ = s.client.conn.SetWriteDeadline(time.Unix(1, 0)) // an error means that it is closed already
	}
}
