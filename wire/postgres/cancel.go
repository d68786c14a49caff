package postgres

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// maxKeys bounds live cancel keys, which are sessions. Beyond it a new session is
// refused; a live key is never dropped to make room.
const maxKeys = 100_000

// ErrTooManySessions says that maxKeys sessions are open.
var ErrTooManySessions = errors.New("too many sessions are open on this gateway")

// Keys hands out cancel keys of our own and finds the session a key belongs to. A
// client never learns the database's key: with it, it could cancel past the gate.
type Keys struct {
	mu   sync.Mutex
	live map[uint32]key
}

type key struct {
	secret [4]byte
	cancel func()
}

// Key is what BackendKeyData tells a client.
type Key struct {
	PID    uint32
	Secret uint32
}

// Issue makes a key for which cancel is called. It is in force before it is
// returned, so that no client can use it too early. release ends it.
func (k *Keys) Issue(cancel func()) (Key, func(), error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.live == nil {
		k.live = map[uint32]key{}
	}
	if len(k.live) >= maxKeys {
		return Key{}, nil, ErrTooManySessions
	}
	var b [8]byte
	for {
		rand.Read(b[:])                                    // never fails (crypto/rand)
		pid := binary.BigEndian.Uint32(b[:4]) & 0x7fffffff // clients print it as a signed number
		if _, used := k.live[pid]; used || pid == 0 {
			continue
		}
		k.live[pid] = key{secret: [4]byte(b[4:]), cancel: cancel}
		return Key{PID: pid, Secret: binary.BigEndian.Uint32(b[4:])}, func() { k.release(pid) }, nil
	}
}

func (k *Keys) release(pid uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.live, pid)
}

// Cancel calls the cancel function of the session that the key was issued to. It
// returns false if there is none, which is worth recording: someone guesses.
func (k *Keys) Cancel(c Key) bool {
	k.mu.Lock()
	found, ok := k.live[c.PID]
	k.mu.Unlock()
	var secret [4]byte
	binary.BigEndian.PutUint32(secret[:], c.Secret)
	if subtle.ConstantTimeCompare(secret[:], found.secret[:]) != 1 || !ok {
		return false
	}
	found.cancel()
	return true
}

// canceller sends cancel requests to the database a session is connected to, with
// the same TLS as the session itself.
type canceller struct{ login *pgconn.HijackedConn }

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
