package gateway_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// crowd is half of what PostgreSQL's settings in tests have room for.
const crowd = 100

// mostPerSession bounds the heap of an open session that has run a statement: four
// buffers of 64 KiB (the gateway reads from both sides, the laptop's end copies both
// ways, and all are in this process), and as much again for the drivers of both sides,
// the multiplexer and what is kept of names and answers.
const mostPerSession = 512 << 10

// Many sessions at once, every second one in a transaction, take bounded memory each,
// all answer, and all memory of theirs is given back.
func TestCrowdOfSessionsTakesBoundedMemory(t *testing.T) {
	tu := serve(t, "dev", "")
	dsn := tu.local(t, "ada")
	work(t, dsn)
	before := heap()
	conns := make([]*pgx.Conn, crowd)
	for i := range conns {
		conns[i] = connect(t, dsn)
		if i%2 == 0 {
			if _, err := conns[i].Exec(t.Context(), "begin"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, conn := range conns {
		var got int
		if err := conn.QueryRow(t.Context(), "select $1::int", i).Scan(&got); err != nil || got != i {
			t.Fatalf("session %d: %d, %v", i, got, err)
		}
	}
	if n := len(tu.Sessions(person("ada"))); n != crowd {
		t.Errorf("%d sessions, want %d", n, crowd)
	}
	now := heap()
	used := now - min(before, now)
	if used > crowd*mostPerSession {
		t.Errorf("%d KiB a session, the bound is %d", used/crowd>>10, mostPerSession>>10)
	}
	for _, conn := range conns {
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	clear(conns)
	eventually(t, "every session ended", func() bool { return len(tu.Sessions(person("ada"))) == 0 })
	t.Logf("%d KiB a session, client, tunnel and gateway together", used/crowd>>10)
}
