package postgres

import (
	"errors"
	"sync/atomic"

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
	more     bool   // the server said that an execution of it goes on
	group    uint64 // in which it was bound
	cursor   bool   // named by SQL
}

// prepared is a named statement with what the server told of it. All but the first
// three lines are guarded by the ledger's mutex.
type prepared struct {
	*wire.Prepared
	copies  bool          // may read COPY data
	varies  bool          // its columns are known only when it runs
	closing uint64        // group in which a Close of it was sent
	closed  bool          // the server has closed it
	asked   uint64        // group in which our own Describe was sent
	known   bool          // columns are known
	columns []wire.Column //
	types   []uint32      // parameter types as the server told them

	strange atomic.Bool // its columns are not those that were decided on
}

// names is what the server's statement and portal names mean; part of the ledger
// and guarded by its mutex.
//
// What a name means must be right when a statement is judged. Within the messages
// up to a Sync it is, because the server skips all that follows an error. Between
// such groups it might not be: a client may send Parse again for a name while an
// earlier group, not yet answered, makes the server skip that Parse. So a group
// that gives a used name another meaning must be answered before a name of the
// next group is relied on. And where SQL itself changes names (PREPARE, DEALLOCATE),
// the answer must have been dealt with before any name is relied on.
type names struct {
	statements map[string]*prepared
	portals    map[string]*portal
	group      uint64 // number of the group now being sent: up to a Sync or Query
	dirty      uint64 // last group that changed the meaning of a used name
	answered   uint64 // last group whose ReadyForQuery has come
	refused    uint64 // last group in which something was made to fail
	partial    bool   // something of group was sent
}

func newNames() names {
	return names{statements: map[string]*prepared{}, portals: map[string]*portal{}, group: 1}
}

// unsettled reports whether something must be answered before names can be relied on.
func (l *ledger) unsettled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubtful()
}

// doubtful: while the server skips, nothing can be in doubt, as nothing has an effect.
func (l *ledger) doubtful() bool {
	if l.closed || l.skipping {
		return false
	}
	if x := l.copying; x != nil && x.reads > x.ends {
		return false // what names mean is no matter: the message is a mistake
	}
	return l.renaming > 0 || l.dirty > l.answered && l.dirty < l.group
}

// void reports whether the server passes over what comes next, up to a Sync: it has
// met an error in this group, or was sent something that must fail.
func (l *ledger) void() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.skipping || l.refused == l.group
}

// settle waits until no name is in doubt.
func (l *ledger) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.doubtful() {
		l.changed.Wait()
	}
}

// ready notes ReadyForQuery for the first exchange, x. Without a transaction the
// portals that were bound before are gone.
func (l *ledger) ready(x *exchange, status byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop()
	l.answered = max(l.answered, x.group)
	if status == 'I' {
		for name, p := range l.portals {
			if !p.cursor && p.group <= x.group {
				l.dropPortal(name)
			}
		}
	}
	l.changed.Broadcast()
}

func (l *ledger) statement(name string) *prepared {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statements[name]
}

func (l *ledger) portal(name string) (p *portal, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p = l.portals[name]
	return p, p != nil && p.more
}

// typeOf is the type of one parameter of p: what the client gave, else what the
// server has told; 0 if neither did.
func (l *ledger) typeOf(p *prepared, i int) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i < len(p.Types) && p.Types[i] != 0 {
		return p.Types[i]
	}
	if i < len(p.types) {
		return p.types[i]
	}
	return 0
}

// prepare gives a name the statement of a Parse. A named statement cannot be
// prepared twice: the server would refuse it (42P05), and so do we, because a name
// must not mean one thing here and another there. It can if a Close of it stands
// earlier in the same group, as that runs or is skipped with it. l.mu is held.
func (l *ledger) prepare(x *exchange) error {
	name := x.prepared.Name
	x.old = l.statements[name]
	if x.old != nil {
		if name != "" && x.old.closing != l.group {
			return errTwice
		}
		l.dirty = l.group
	} else if len(l.statements) >= maxNames {
		return errNames
	}
	if !l.room(x.prepared.size() - x.old.size()) {
		return errMemory
	}
	l.setStatement(name, x.prepared)
	return nil
}

// bind gives a portal's name a statement and parameters. l.mu is held.
func (l *ledger) bind(x *exchange) error {
	x.before = l.portals[x.name]
	if x.before != nil {
		l.dirty = l.group
	} else if len(l.portals) >= maxNames {
		return errNames
	}
	if !l.room(x.portal.size() - x.before.size()) {
		return errMemory
	}
	x.portal.group = l.group
	l.setPortal(x.name, x.portal)
	return nil
}

// closing notes that a Close is sent. l.mu is held.
func (l *ledger) closing(x *exchange) {
	l.dirty = l.group
	if x.target == 'S' && x.prepared != nil {
		x.prepared.closing = l.group
	}
}

// unname takes back what x, which the server skipped or refused, would have done
// to names. l.mu is held.
func (l *ledger) unname(x *exchange, skipped bool) {
	switch {
	case x.refusal != nil:
	case x.kind == 'P' && l.statements[x.prepared.Name] == x.prepared:
		// Refused, the unnamed statement is gone, and a named one never was.
		l.dropStatement(x.prepared.Name)
		if skipped && x.old != nil && !x.old.closed {
			l.setStatement(x.prepared.Name, x.old)
		}
	case x.kind == 'B' && l.portals[x.name] == x.portal:
		l.dropPortal(x.name)
		if x.before != nil && (skipped || x.name != "") {
			l.setPortal(x.name, x.before)
		}
	case x.kind == 'i' && x.prepared != nil:
		x.prepared.asked = 0
	}
}

// forget drops a name the server has closed, if it still means the same thing.
func (l *ledger) forget(x *exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case x.target == 'S' && x.prepared != nil:
		x.prepared.closed = true
		if l.statements[x.name] == x.prepared {
			l.dropStatement(x.name)
		}
	case x.target == 'P' && x.portal != nil && l.portals[x.name] == x.portal:
		l.dropPortal(x.name)
	}
}

// ask reports whether our own Describe must go before a Bind of p. A Describe that
// an earlier group asked for and that is not answered may yet be skipped.
func (l *ledger) ask(p *prepared) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.Look && !p.known && p.asked != l.group
}

// columnsKnown reports whether a portal's columns are known, or will be before its
// rows come.
func (l *ledger) columnsKnown(p *portal) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p != nil && p.prepared != nil && !p.prepared.varies && (p.prepared.known || p.prepared.asked == l.group)
}

// told keeps the columns that our Describe of a statement brought.
func (l *ledger) told(p *prepared, columns []wire.Column) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.known, p.columns = true, columns
}

func (l *ledger) columnsOf(p *prepared) []wire.Column {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.columns
}

// typed keeps the parameter types that a Describe brought.
func (l *ledger) typed(p *prepared, types []uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.types = types
}

// suspended notes whether a portal has more rows than an Execute asked for.
func (l *ledger) suspended(p *portal, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.more = more
}

// define keeps what SQL itself has named (PREPARE, DECLARE), after the server has
// confirmed it; undefine drops names after DEALLOCATE or DISCARD, all of them but the
// unnamed statement, which those leave alone, if name is "".
func (l *ledger) define(p *wire.Prepared) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.statements) >= maxNames {
		return errNames
	}
	made := &prepared{Prepared: p}
	if !l.room(made.size()) {
		return errMemory
	}
	l.setStatement(p.Name, made)
	return nil
}

func (l *ledger) definePortal(p *wire.Prepared) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.portals) >= maxNames {
		return errNames
	}
	made := &portal{prepared: &prepared{Prepared: p}, cursor: true}
	if !l.room(made.size()) {
		return errMemory
	}
	l.setPortal(p.Name, made)
	return nil
}

func (l *ledger) undefine(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name != "" {
		l.dropStatement(name)
		return
	}
	for name := range l.statements {
		if name != "" {
			l.dropStatement(name)
		}
	}
}
