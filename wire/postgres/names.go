package postgres

import (
	"errors"
	"sync"

	"github.com/sluicehq/sluice/wire"
)

// maxNames bounds prepared statements and portals of one session. Drivers keep
// some hundreds; the server itself would need gigabytes for more than this.
const maxNames = 20_000

// errNames refuses one more name than maxNames; errTwice one that is in use.
var (
	errNames = errors.New("too many prepared statements or cursors in one session")
	errTwice = errors.New("prepared statement already exists")
)

// portal is a statement with its parameters, ready to run.
type portal struct {
	prepared *prepared
	params   []wire.Param
	formats  []bool
	ran      bool // an Execute of it was let through
}

// prepared is a named statement with what the server told of it.
type prepared struct {
	*wire.Prepared
	closing uint64        // group in which a Close of it was read
	asked   bool          // our own Describe was sent
	columns []wire.Column // what it answered
}

// names is what the server's statement and portal names mean. Reading a client's
// message and receiving the server's answer both use it, from two goroutines.
//
// What a name means must be right when a statement is judged. Within the messages
// up to a Sync it is, because the server skips all that follows an error. Between
// such groups it might not be: a client may send Parse again for a name while an
// earlier group, not yet answered, makes the server skip that Parse. So a group
// that gives a used name another meaning must be answered before the next group is
// read (settle).
type names struct {
	mu         sync.Mutex
	settled    sync.Cond
	statements map[string]*prepared
	portals    map[string]*portal
	group      uint64 // number of the group now being read
	dirty      uint64 // last group that changed the meaning of a used name
	answered   uint64 // last group whose ReadyForQuery has come
	closed     bool
}

func newNames() *names {
	n := &names{statements: map[string]*prepared{}, portals: map[string]*portal{}, group: 1}
	n.settled.L = &n.mu
	return n
}

// unsettled reports whether an earlier group must be answered before names can be
// relied on.
func (n *names) unsettled() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.waiting()
}

func (n *names) waiting() bool {
	return !n.closed && n.dirty > n.answered && n.dirty < n.group
}

// settle waits until no earlier group is in doubt.
func (n *names) settle() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.waiting() {
		n.settled.Wait()
	}
}

// endGroup notes that Sync, Query or FunctionCall was read.
func (n *names) endGroup() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.group++
	return n.group - 1
}

// answer notes that the server is ready after group.
func (n *names) answer(group uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if group > n.answered {
		n.answered = group
	}
	n.settled.Broadcast()
}

// close wakes whoever waits, for good.
func (n *names) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	n.settled.Broadcast()
}

func (n *names) statement(name string) *prepared {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.statements[name]
}

func (n *names) portal(name string) *portal {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.portals[name]
}

// prepare gives name a statement and returns what it meant before. A named
// statement cannot be prepared twice: the server would refuse it (42P05), and so
// do we, because a name must not mean one thing here and another there. It can if
// a Close of it stands earlier in the same group, as that runs or is skipped with it.
func (n *names) prepare(p *wire.Prepared) (now, old *prepared, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old = n.statements[p.Name]
	if old != nil {
		if p.Name != "" && old.closing != n.group {
			return nil, old, errTwice
		}
		n.dirty = n.group
	} else if len(n.statements) >= maxNames {
		return nil, nil, errNames
	}
	now = &prepared{Prepared: p}
	n.statements[p.Name] = now
	return now, old, nil
}

// unprepare takes back a Parse that the server skipped (old comes back) or
// refused (the unnamed statement is then gone, and a named one never was).
func (n *names) unprepare(now, old *prepared, skipped bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.statements[now.Name] != now {
		return
	}
	if skipped && old != nil {
		n.statements[now.Name] = old
		return
	}
	delete(n.statements, now.Name)
}

// closing notes that a Close of a statement was read.
func (n *names) closing(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.statements[name]; p != nil {
		p.closing = n.group
		n.dirty = n.group
	}
}

// define and definePortal keep what SQL itself has named (PREPARE, DECLARE), after
// the server has confirmed it; undefine drops names after DEALLOCATE, DISCARD or
// CLOSE, all of them if name is "".
func (n *names) define(p *wire.Prepared) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.statements) >= maxNames {
		return errNames
	}
	n.statements[p.Name] = &prepared{Prepared: p}
	return nil
}

func (n *names) definePortal(name string, p *wire.Prepared) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.portals) >= maxNames {
		return errNames
	}
	n.portals[name] = &portal{prepared: &prepared{Prepared: p}}
	return nil
}

func (n *names) undefine(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name == "" {
		clear(n.statements)
		return
	}
	delete(n.statements, name)
}

// bind gives a portal name a statement and parameters.
func (n *names) bind(name string, p *portal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, used := n.portals[name]; used {
		n.dirty = n.group
	} else if len(n.portals) >= maxNames {
		return errNames
	}
	n.portals[name] = p
	return nil
}

// renames notes that the group now read may change names by SQL.
func (n *names) renames() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dirty = n.group
}

// forget drops a name the server has closed, if it still means the same thing.
func (n *names) forget(target byte, name string, s *prepared, p *portal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if target == 'S' && n.statements[name] == s {
		delete(n.statements, name)
	}
	if target == 'P' && n.portals[name] == p {
		delete(n.portals, name)
	}
}

// ask reports whether our own Describe must go before a Bind of p, and notes that
// it did.
func (n *names) ask(p *prepared) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !p.Look || p.asked {
		return false
	}
	p.asked = true
	return true
}

// told keeps the columns that our Describe brought; nil, false undoes the asking.
func (n *names) told(p *prepared, columns []wire.Column, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p.asked = ok
	p.columns = columns
}

func (n *names) columnsOf(p *prepared) []wire.Column {
	n.mu.Lock()
	defer n.mu.Unlock()
	return p.columns
}
