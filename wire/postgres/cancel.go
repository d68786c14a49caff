package postgres

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// maxKeys bounds live cancel keys, which are sessions. Beyond it a new session is
// refused; a live key is never dropped to make room.
const maxKeys = 100_000

// ErrTooManySessions says that maxKeys sessions are open.
var ErrTooManySessions = errors.New("too many sessions are open on this gateway")

// Keys hands out cancel keys of our own and finds the session a key belongs to. The
// number in a key is that of the database's process, since programs use it with
// pg_terminate_backend; the secret is ours. A client never learns the database's: with
// it, it could cancel past the gate.
type Keys struct {
	mu   sync.Mutex
	live map[uint32][]*key // by process: there may be one of that number in each database
	n    int               // of keys in live
}

type key struct {
	secret [4]byte
	owner  string
	cancel func()
}

// Key is what BackendKeyData tells a client.
type Key struct {
	PID    uint32
	Secret uint32
}

// Issue makes a key for which cancel is called when owner sends it. It is in force
// before it is returned, so that no client can use it too early. release ends it.
func (k *Keys) Issue(pid uint32, owner string, cancel func()) (Key, func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.n >= maxKeys {
		return Key{}, nil, ErrTooManySessions
	}
	if k.live == nil {
		k.live = map[uint32][]*key{}
	}
	mine := &key{owner: owner, cancel: cancel}
	for draw := true; draw; {
		rand.Read(mine.secret[:]) // never fails (crypto/rand)
		draw = mine.secret == [4]byte{} || slices.ContainsFunc(k.live[pid], func(other *key) bool { return other.secret == mine.secret })
	}
	k.live[pid] = append(k.live[pid], mine)
	k.n++
	return Key{PID: pid, Secret: binary.BigEndian.Uint32(mine.secret[:])}, func() { k.release(pid, mine) }, nil
}

func (k *Keys) release(pid uint32, mine *key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.Index(k.live[pid], mine)
	if i < 0 {
		return
	}
	k.n--
	if k.live[pid] = slices.Delete(k.live[pid], i, i+1); len(k.live[pid]) == 0 {
		delete(k.live, pid)
	}
}

// Cancel calls the cancel function of the session that the key was issued to, if it
// was to owner. It returns false if there is none, which is worth recording: someone
// guesses.
func (k *Keys) Cancel(c Key, owner string) bool {
	var secret [4]byte
	binary.BigEndian.PutUint32(secret[:], c.Secret)
	k.mu.Lock()
	var found *key
	for _, other := range k.live[c.PID] {
		if subtle.ConstantTimeCompare(secret[:], other.secret[:]) == 1 && other.owner == owner {
			found = other
		}
	}
	k.mu.Unlock()
	if found == nil {
		return false
	}
	found.cancel()
	return true
}

// canceller sends cancel requests to the database a session is connected to, with
// the same TLS as the session itself.
type canceller struct{ login *pgconn.HijackedConn }

// pid is the number of the database's process; 0 if it told none.
func (c canceller) pid() uint32 {
	if c.login == nil {
		return 0
	}
	return c.login.PID
}

func (c canceller) send(ctx context.Context) error {
	if c.login == nil {
		return nil
	}
	// Made when it is needed: it has buffers of its own, and most sessions never do.
	conn, err := pgconn.Construct(c.login)
	if err != nil {
		return fmt.Errorf("prepare cancelling: %w", err)
	}
	return conn.CancelRequest(ctx)
}
