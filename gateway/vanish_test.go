package gateway_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
)

// step of a script: what the client sends, what it then waits for, and what is done
// before it goes on.
type step struct {
	send  []pgproto3.FrontendMessage
	until byte
	do    func(*guest)
}

func query(sql string) []pgproto3.FrontendMessage {
	return []pgproto3.FrontendMessage{&pgproto3.Query{String: sql}}
}

// extended is a statement in messages of the extended protocol, without a Sync.
func extended(sql string) []pgproto3.FrontendMessage {
	return []pgproto3.FrontendMessage{&pgproto3.Parse{Query: sql}, &pgproto3.Bind{}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}}
}

// scripts are what clients were about when they, or the database, vanished.
var scripts = map[string][]step{
	"login":    {},
	"simple":   {{send: query("select id, email from people where id < 4; select 1"), until: 'Z'}},
	"extended": {{send: append(extended("select name from cities where id < 4"), &pgproto3.Sync{}), until: 'Z'}},
	"refused in a pipeline": {{send: slices.Concat(extended("insert into cities values (1001, 'x')"), extended("delete from cities"), extended("select 1"),
		[]pgproto3.FrontendMessage{&pgproto3.Sync{}}), until: 'Z'}},
	"refused": {{send: query("delete from cities"), until: 'Z'}, {send: query("select 1"), until: 'Z'}},
	"held": {
		{send: append(query("do $$ begin execute format('select 1'); end $$"), query("select 2")...), until: 'N'},
		{do: (*guest).approved, until: 'Z'}, {until: 'Z'},
	},
	"held in a pipeline": {
		{send: slices.Concat(extended("select 1"), extended("do $$ begin execute format('select 1'); end $$"), extended("select 2"), []pgproto3.FrontendMessage{&pgproto3.Sync{}}), until: 'N'},
		{do: (*guest).approved, until: 'Z'},
	},
	"copy in": {
		{send: query("copy heap from stdin"), until: 'G'},
		{send: []pgproto3.FrontendMessage{&pgproto3.CopyData{Data: []byte("1\n2\n")}, &pgproto3.CopyData{Data: []byte("3\n")}, &pgproto3.CopyDone{}}, until: 'Z'},
	},
	"copy out": {{send: query("copy (select id, email from people where id < 4) to stdout"), until: 'Z'}},
	"portal in parts": {
		{send: []pgproto3.FrontendMessage{&pgproto3.Parse{Query: "select email from people where id < 6"}, &pgproto3.Bind{DestinationPortal: "p"},
			&pgproto3.Execute{Portal: "p", MaxRows: 2}, &pgproto3.Flush{}}, until: 's'},
		{send: []pgproto3.FrontendMessage{&pgproto3.Execute{Portal: "p"}, &pgproto3.Sync{}}, until: 'Z'},
	},
	"transaction with an error": {{send: query("begin"), until: 'Z'}, {send: query("select 1/0"), until: 'Z'}, {send: query("rollback"), until: 'Z'}},
	"cancel":                    {{send: query("select pg_sleep(0.2)")}, {do: (*guest).cancelled, until: 'Z'}},
	"large value":               {{send: query("select repeat('x', 300000)"), until: 'Z'}},
}

// guest is a client of these tests: one session, seen from its messages.
type guest struct {
	t       *testing.T
	th      *through
	name    string
	conn    *net.TCPConn
	ended   chan struct{} // closed when the gateway has done with the session
	key     []byte        // of cancelling
	told    map[byte]string
	heard   []byte
	halfway bool // the connection ended in the middle of a message
	left    int  // what may still happen before it vanishes; negative never
}

var (
	errVanish = errors.New("the client vanishes")
	guests    atomic.Int64
	rounds    atomic.Int64 // of the whole walk in this process: each begins with another way to fail
)

// dial opens a connection to a gateway, and gives what is closed with its session.
func (th *through) dial(t *testing.T, name string) (*net.TCPConn, chan struct{}) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := near.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		th.Session(context.Background(), far, gateway.Caller{Who: person(name), Connection: "orders", From: "a test"})
	}()
	return near.(*net.TCPConn), ended
}

// happens counts what the client does and hears.
func (g *guest) happens() error {
	if g.left == 0 {
		return errVanish
	}
	g.left--
	return nil
}

// play runs a script. It ends with nil when all of it was done.
func (g *guest) play(steps []step) error {
	login := &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersionNumber, Parameters: map[string]string{"user": "me", "database": "orders", "application_name": g.name}}
	if err := g.do(step{send: []pgproto3.FrontendMessage{login}, until: 'Z'}); err != nil {
		return err
	}
	for _, st := range steps {
		if err := g.do(st); err != nil {
			return err
		}
	}
	return nil
}

func (g *guest) do(st step) error {
	for _, m := range st.send {
		if err := g.happens(); err != nil {
			return err
		}
		b, err := m.Encode(nil)
		if err != nil {
			g.t.Fatal(err)
		}
		if _, err := g.conn.Write(b); err != nil {
			return g.hear(0) // it may have been told why
		}
	}
	if st.do != nil {
		st.do(g)
	}
	if st.until == 0 {
		return nil
	}
	return g.hear(st.until)
}

// hear reads messages until one of type until.
func (g *guest) hear(until byte) error {
	for {
		if err := g.happens(); err != nil && until != 0 {
			return err
		}
		msg, err := message(g.conn, 1)
		if err != nil {
			g.halfway = errors.Is(err, io.ErrUnexpectedEOF)
			return err
		}
		if len(g.heard) < 1<<16 {
			g.heard = append(g.heard, msg...)
		}
		switch msg[0] {
		case 'K':
			g.key = msg[5:]
		case 'E':
			g.told = map[byte]string{}
			for _, field := range strings.Split(string(msg[5:]), "\x00") {
				if field != "" {
					g.told[field[0]] = field[1:]
				}
			}
		}
		if msg[0] == until {
			return nil
		}
	}
}

func (g *guest) approved() {
	for _, a := range g.th.Asks(approver) {
		if a.Who.Subject == g.name {
			_, _ = g.th.Answer(approver, a.ID, g.th.yes(a.ID)) // the session may be over
		}
	}
}

func (g *guest) cancelled() {
	conn, ended := g.th.dial(g.t, g.name)
	defer conn.Close()
	msg := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 16), 80877102)
	if _, err := conn.Write(append(msg, g.key...)); err != nil {
		g.t.Error(err)
	}
	within(g.t, ended, "the cancel request")
}

func within(t *testing.T, ended chan struct{}, what string) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatalf("%s has not ended; the goroutines:\n%s", what, stacks())
	}
}

// stacks is where every goroutine stands.
func stacks() []byte {
	b := make([]byte, 4<<20)
	return b[:runtime.Stack(b, true)]
}

// vanish ends the client's side.
func (g *guest) vanish(how string) {
	switch how {
	case "half":
		g.conn.CloseWrite()
		_, _ = io.Copy(io.Discard, g.conn) // until the gateway closes it
	case "reset":
		g.conn.SetLinger(0)
	}
	g.conn.Close()
}

// visit plays a script against a gateway, with a fault of the database, or of the
// client after left events. over tells that neither came to pass.
func visit(t *testing.T, th *through, line *faulty, steps []step, f *fault, left int, how string) (over bool) {
	t.Helper()
	g := &guest{t: t, th: th, name: fmt.Sprintf("guest<%d>", guests.Add(1)), left: left}
	line.plan(g.name, f)
	what := fmt.Sprintf("database %q (up %v, after %d), client %q after %d", f.how, f.up, f.after, how, left)
	g.conn, g.ended = th.dial(t, g.name)
	err := g.play(steps)
	switch {
	case errors.Is(err, errVanish):
		g.vanish(how)
	case err == nil:
		over = !f.fired.Load()
		if _, err := g.conn.Write([]byte{'X', 0, 0, 0, 4}); err != nil && over {
			t.Errorf("%s: goodbye: %v", what, err)
		}
		g.conn.Close()
	default:
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: nothing came for %v; the goroutines:\n%s", what, patience, stacks())
		}
		g.conn.Close()
		if !f.fired.Load() {
			t.Errorf("%s: it ended with %v", what, err)
		}
		known := slices.Contains([]string{"08006", "08001", "57P01", "08P01"}, g.told['C'])
		if !g.halfway && (g.told['S'] != "FATAL" || !known || g.told['H'] == "" || g.told['M'] == "") {
			t.Errorf("%s: the client was told %q, and %v", what, g.told, err)
		}
	}
	within(t, g.ended, "the session: "+what)
	th.left(t, g.name, what)
	return over
}

// left checks what is left of a session that has ended: nothing but its record,
// which is complete.
func (th *through) left(t *testing.T, name, what string) {
	t.Helper()
	who := person(name)
	if open := th.Sessions(who); len(open) > 0 {
		t.Errorf("%s: still open: %v", what, open)
	}
	for _, a := range th.Asks(approver) {
		if a.Who.Subject == name {
			t.Errorf("%s: still waiting: %v", what, a)
		}
	}
	res, err := th.log.Query(context.Background(), audit.Filter{Who: who.Name(), Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	ends, opened := map[string]int{}, 0
	for _, ev := range res.Events {
		switch {
		case ev.Kind == audit.Finished:
			ends[ev.Of]++
		case ev.Kind == audit.Connected && ev.Outcome == "ok":
			opened++
		case ev.Kind == audit.Closed:
			opened--
		}
	}
	if opened != 0 {
		t.Errorf("%s: a session without end, or an end without session", what)
	}
	for _, ev := range res.Events {
		if ev.Kind == audit.Decided && ends[ev.ID] != 1 {
			t.Errorf("%s: %s %q has %d endings", what, ev.Effect, ev.SQL, ends[ev.ID])
		}
	}
}

// mostSteps is more than any script has: one that gets there does not come to its end.
const mostSteps = 200

// Whatever vanishes, the client or the database, at whatever step and however: the
// session ends soon, the client that is still there is told, each decision has its
// ending in the record, and nothing is left over.
func TestVanishingAtEveryStep(t *testing.T) {
	th, line := between(t, "dev", shop+"create table heap (x int);")
	if !visit(t, th, line, scripts["simple"], &fault{}, -1, "") {
		t.Fatal("nothing failed, and it did not get through")
	}
	before := runtime.NumGoroutine()
	round := int(rounds.Add(1))
	t.Run("walk", func(t *testing.T) {
		for name, steps := range scripts {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				login := name == "login"
				for n := range mostSteps {
					how := []string{"close", "reset", "half", "torn"}[(n+round)%4]
					if visit(t, th, line, steps, &fault{login: login, after: n, how: how}, -1, "") {
						break
					}
				}
				for n := 1; n < mostSteps; n++ {
					how := []string{"close", "reset", "half"}[(n+round)%3]
					if visit(t, th, line, steps, &fault{login: login, up: true, after: n, how: how}, -1, "") {
						break
					}
				}
				for n := range mostSteps {
					how := []string{"close", "reset", "half"}[(n+round)%3]
					if visit(t, th, line, steps, &fault{}, n, how) {
						break
					}
				}
			})
		}
	})
	th.sees(t, 0, "select count(*) from pg_stat_activity where datname = current_database() and application_name like '%guest<%'")
	eventually(t, "the goroutines ended", func() bool { return runtime.NumGoroutine() <= before+10 })
	if n := count(t, th, "select count(*) from cities"); n != 300 {
		t.Errorf("%d cities: what was refused ran", n)
	}
}
