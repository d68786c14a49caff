package gateway_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/tunnel"
)

const (
	peerKey = "two gateways share these 32 bytes and more"
	lease   = time.Second // of peers in these tests
)

// wire is a way from one gateway to another that can be cut.
type wire struct {
	addr string
	to   string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: ln.Addr().String(), to: to, conns: map[net.Conn]bool{}}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			group.Go(func() { w.carry(conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); w.set(true); group.Wait() })
	return w
}

func (w *wire) carry(conn net.Conn) {
	defer conn.Close()
	other, err := net.Dial("tcp", w.to)
	if err != nil || !w.hold(conn, other) {
		return
	}
	defer other.Close()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{conn, other}, {other, conn}} {
		go func() { _, _ = io.Copy(pair[0], pair[1]); done <- struct{}{} }()
	}
	<-done
	conn.Close()
	other.Close()
	<-done
}

func (w *wire) hold(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
	return !w.cut
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for c := range w.conns {
		if cut {
			c.Close()
		}
	}
}

// site is a gateway that others reach.
type site struct {
	*through
	name  string
	dir   string // of its data
	ln    net.Listener
	addr  string
	peers []string
	key   string
	conn  gateway.Connection
	opens int
}

// serve starts the gateway, or starts it again.
func (s *site) serve(t *testing.T) {
	t.Helper()
	s.opens++
	dir := filepath.Join(s.dir, fmt.Sprintf("record-%d", s.opens))
	log, err := audit.Open(audit.Config{Dir: dir, Origin: "sluice/" + s.name, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	authority, err := identity.LoadOrCreateAuthority(filepath.Join(s.dir, "authority"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := identity.ServerCertificate(filepath.Join(s.dir, "server"), time.Now(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	peer, err := identity.NewPeer([]byte(s.key), s.name, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	cfg := gateway.Config{
		ID: s.name, Connections: []gateway.Connection{s.conn}, Rules: policy.Builtin(), PolicySource: "test", Authority: authority,
		Record: log, RecordDir: dir, Now: time.Now, Log: slog.New(slog.DiscardHandler), Admins: []string{"admin"},
		Index: index.New(index.Config{Record: dir, Flush: log.Flush}), Labels: filepath.Join(s.dir, "labels.json"),
		Peers: &gateway.PeersConfig{Identity: peer, Addresses: s.peers, State: filepath.Join(s.dir, "peers.json"), Lease: lease},
	}
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.ln == nil {
		if s.ln, err = net.Listen("tcp", s.addr); err != nil {
			t.Fatal(err)
		}
	}
	s.through = &through{Gateway: g, direct: s.through.direct, record: dir, log: log, t: t, cfg: cfg}
	ctx, cancel := context.WithCancel(context.Background())
	done, ln := make(chan error, 1), s.ln
	go func() {
		done <- g.Serve(ctx, ln, tunnel.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: authority.Pool()}})
	}()
	s.stop = sync.OnceValue(func() error {
		cancel()
		err := <-done
		cfg.Index.Close()
		log.Close()
		return err
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	})
}

// down ends the gateway; serve starts it again.
func (s *site) down(t *testing.T) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.ln = nil
}

// two are gateways in front of one database, which reach each other by wires.
func two(t *testing.T, setup string, change ...func(a, b *site)) (a, b *site, toA, toB *wire) {
	t.Helper()
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, setup)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn := gateway.Connection{Name: "orders", Env: "dev", Database: cfg, Groups: []string{gateway.Everyone}}
	var sites []*site
	for _, name := range []string{"gw-a", "gw-b"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sites = append(sites, &site{through: &through{direct: dsn}, name: name, dir: t.TempDir(), ln: ln, addr: ln.Addr().String(), key: peerKey, conn: conn})
	}
	a, b = sites[0], sites[1]
	toA, toB = newWire(t, a.addr), newWire(t, b.addr)
	a.peers, b.peers = []string{toB.addr}, []string{toA.addr}
	for _, c := range change {
		c(a, b)
	}
	a.serve(t)
	b.serve(t)
	return a, b, toA, toB
}

// hears waits until a gateway hears its peers or, if not, has ceased to.
func (s *site) hears(t *testing.T, want bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s hears its peer: %v", s.name, want), func() bool { return (s.Silent() == "") == want })
}

// does runs a statement as a person, and fails if it does not run.
func (s *site) does(t *testing.T, sql string) {
	t.Helper()
	if out, err := run(connect(t, s.as(person("ada"))), sql); err != nil {
		t.Fatalf("%s: %s: %v %s", s.name, sql, err, out)
	}
}

// sees is what a person gets.
func (s *site) sees(t *testing.T, sql string) string {
	t.Helper()
	out, err := run(connect(t, s.as(person("bob"))), sql)
	if err != nil {
		return err.Error()
	}
	return out
}

// copies is what a person gets by COPY TO STDOUT, or the error.
func (s *site) copies(t *testing.T, sql string) string {
	t.Helper()
	var b strings.Builder
	if _, err := connect(t, s.as(person("bob"))).PgConn().CopyTo(t.Context(), &b, sql); err != nil {
		return b.String() + err.Error()
	}
	return b.String()
}

// Each writes personal data elsewhere at one gateway; it is then read at the other, whose
// sessions have looked at the tables before.
func TestNoLaundryWashesALabelOffBetweenGateways(t *testing.T) {
	setup, n := staff, 0
	for range laundries {
		n++
		setup += named.ReplaceAllString(plain, fmt.Sprintf("${0}_%d", n))
	}
	a, b, _, _ := two(t, setup)
	a.hears(t, true)
	b.hears(t, true)
	n = 0
	for name, attack := range laundries {
		n++
		t.Run(name, func(t *testing.T) {
			writer, reader := connect(t, a.as(person("ada"))), connect(t, b.as(person("bob")))
			ran := 0
			for _, sql := range attack {
				sql = named.ReplaceAllString(sql, fmt.Sprintf("${0}_%d", n))
				if !strings.HasPrefix(sql, "select") || strings.Contains(sql, "copy_in") {
					_, _ = run(writer, sql) // some is refused, which is as good
					continue
				}
				for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheDescribe} {
					out, err := text(reader, sql, mode)
					if washed(out) {
						t.Errorf("%s: %.100q", sql, out)
					}
					if err == nil {
						ran++
					}
				}
			}
			if ran < 1 && !strings.Contains(name, "messages of a block") {
				t.Errorf("no read ran")
			}
		})
	}
	if s := b.sees(t, "select word from "+named.ReplaceAllString("plain where id = 7", "${0}_1")); !strings.Contains(s, "word 7") && !strings.Contains(s, "Hopper") && s == "" {
		t.Errorf("what is not personal is hidden: %q", s)
	}
}

// Sessions of the other gateway read a name again and again while it comes to be a copy:
// none sees a value, from the first read on.
func TestDoorReadWhileItIsCopiedAtAnotherGateway(t *testing.T) {
	a, b, _, _ := two(t, laundry)
	a.hears(t, true)
	b.hears(t, true)
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var mu sync.Mutex
	rows, leaked := 0, ""
	for range 3 {
		conn := connect(t, b.as(person("bob")))
		group.Go(func() {
			for ctx.Err() == nil {
				for _, sql := range []string{"select n from z where id < 6", "select n + 0 from plain where id < 6 and n > 60000"} {
					out, err := run(conn, sql)
					mu.Lock()
					if washed(out) {
						leaked = sql + ": " + out
					}
					if err == nil && out != "" {
						rows++
					}
					mu.Unlock()
				}
			}
		})
	}
	for i := range 4 {
		a.does(t, "create table z as select id, salary as n from staff")
		a.does(t, "begin; create table y (id int, n int); insert into y select id, salary from staff; drop table z; alter table y rename to z; commit")
		mark := func() int { mu.Lock(); defer mu.Unlock(); return rows }
		seen := mark()
		eventually(t, "rows of the copy are read", func() bool { return mark() > seen+6 })
		if i == 1 {
			a.does(t, "update plain set n = s.salary from staff s where s.id = plain.id")
		}
		a.does(t, "drop table z")
	}
	stop()
	group.Wait()
	if leaked != "" {
		t.Errorf("leaked: %.200s", leaked)
	}
}

// A copy that was made at one is renamed at the other, before the first has looked what
// number it got.
func TestDoorCopyRenamedAtAnotherGateway(t *testing.T) {
	a, b, _, _ := two(t, laundry)
	a.hears(t, true)
	b.hears(t, true)
	for i, made := range []string{
		"create table z as select id, salary as n from staff",
		"begin; drop table y0; create table z as select id, salary as n from staff; commit",
		"create table z (id int, n int)", "begin; drop table z; create table z as select id, salary as n from staff; commit",
	} {
		a.does(t, made)
		if strings.HasSuffix(made, "int)") {
			continue
		}
		b.does(t, fmt.Sprintf("alter table z rename to y%d", i))
		for _, s := range []*site{a, b} {
			if out := s.sees(t, fmt.Sprintf("select n from y%d", i)); washed(out) || out == "" {
				t.Errorf("%s after %s: %.100q", s.name, made, out)
			}
		}
	}
}

// A table that gets the name of another at one gateway is not read under the old meaning
// of the name at the other, not even where no table is described.
func TestDoorNamesSwappedAtAnotherGateway(t *testing.T) {
	a, b, _, _ := two(t, laundry)
	a.hears(t, true)
	b.hears(t, true)
	if s := b.copies(t, "copy (select n + 0 from plain where id = 5) to stdout"); s != "5\n" {
		t.Fatalf("before: %q", s)
	}
	a.does(t, "create table z as select id, person_name as word, salary as n from staff")
	a.does(t, "begin; alter table plain rename to old; alter table z rename to plain; commit")
	for _, sql := range []string{"copy plain (id, n) to stdout", "copy (select n + 0 from plain) to stdout", "select n + 0 from plain", "select upper(word) from plain"} {
		out := b.sees(t, sql)
		if strings.HasPrefix(sql, "copy") {
			out = b.copies(t, sql)
		}
		if washed(out) || strings.Contains(out, "HOPPER") {
			t.Errorf("%s: %.100q", sql, out)
		}
	}
}

// With the way between them cut, what appears at one is hidden at the other, which goes
// on showing what was there before; nothing personal is copied into that.
func TestDoorCopyWhileAnotherGatewayCannotBeTold(t *testing.T) {
	a, b, toA, toB := two(t, laundry)
	a.hears(t, true)
	b.hears(t, true)
	b.sees(t, "select 1 from plain")
	toA.set(true)
	toB.set(true)
	began := time.Now()
	a.does(t, "create table z as select id, salary as n from staff") // waits until B no longer relies on it
	if out := b.sees(t, "select n from z"); washed(out) {
		t.Errorf("B, after %s, shows %.100q", time.Since(began), out)
	}
	if b.Silent() == "" {
		t.Fatal("B still relied on A when the copy was made")
	}
	if out := b.sees(t, "select word, n from plain where id = 7"); !strings.Contains(out, "word 7") {
		t.Errorf("what was there before is hidden: %q", out)
	}
	if s := b.scanned(t, "public.z.n"); !s.PII || !strings.Contains(s.Evidence, "has not been heard") {
		t.Errorf("z.n: %+v", s)
	}
	if err := b.say(t, boss, "public.z.n", "none"); err == nil {
		t.Error("a person took the doubt away without knowing")
	}
	for _, sql := range []string{
		"insert into plain (id, n) select id + 500, salary from staff", "update plain set n = s.salary from staff s where s.id = plain.id",
		"insert into plain (id, n) select id + 500, salary from staff", // what was refused stays so
		"alter table plain add column if not exists n int; update plain set n = salary from staff s where s.id = plain.id",
	} {
		out := a.sees(t, sql)
		if !strings.Contains(out, "refused by policy") || !strings.Contains(out, "does not answer") {
			t.Errorf("%s: %.200q", sql, out)
		}
	}
	a.does(t, "alter table plain add column extra int; update plain set extra = salary from staff s where s.id = plain.id")
	if out := b.sees(t, "select extra from plain where id < 9"); washed(out) {
		t.Errorf("B shows %.100q", out)
	}
	conn := connect(t, a.as(person("ada")))
	if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("900\tgrace.hopper@navy.example\n901\tada@lovelace.example\n"), "copy plain (id, word) from stdin"); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("loaded: %v", err)
	}
	if out := b.sees(t, "select word, n from plain where id > 500"); washed(out) || strings.Contains(out, "hopper") {
		t.Errorf("B shows %.100q", out)
	}
	toA.set(false)
	toB.set(false)
	a.hears(t, true)
	b.hears(t, true)
	a.does(t, "insert into plain (id, n) select id + 500, salary from staff")
	eventually(t, "B knows where z came from", func() bool { return strings.Contains(b.scanned(t, "public.z.n").Evidence, "copied from") })
	if out := b.sees(t, "select n from z") + b.sees(t, "select n from plain where id > 500"); washed(out) {
		t.Errorf("B shows %.100q", out)
	}
	if out := b.sees(t, "select word from plain where id = 7"); out == "" {
		t.Error("nothing is shown")
	}
}

// A gateway that never looked at the database while it heard the other doubts all of it,
// and does not take that for a reason to leave the other untold.
func TestDoorLoadByAGatewayThatDoubts(t *testing.T) {
	a, b, toA, toB := two(t, laundry)
	a.hears(t, true)
	b.hears(t, true)
	b.sees(t, "select 1 from plain")
	toA.set(true)
	toB.set(true)
	a.hears(t, false)
	if out := a.sees(t, "select word from plain where id = 7"); strings.Contains(out, "word 7") {
		t.Errorf("A, which knew nothing of it when it last heard B, shows %q", out)
	}
	conn := connect(t, a.as(person("ada")))
	if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("910\tteapot\n"), "copy plain (id, word) from stdin"); err != nil {
		t.Errorf("what is not personal: %v", err)
	}
	if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("900\tgrace.hopper@navy.example\n901\tada@lovelace.example\n"), "copy plain (id, word) from stdin"); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("loaded: %v", err)
	}
	if out := b.sees(t, "select word from plain where id >= 900"); strings.Contains(out, "hopper") || !strings.Contains(out, "teapot") {
		t.Errorf("B shows %q", out)
	}
}

// A label that was made while the other was down is there when it starts again; and if
// the first is down by then, what it may have filled is hidden, and the rest is not.
func TestDoorLabelMadeWhileAnotherGatewayIsDown(t *testing.T) {
	a, b, _, _ := two(t, laundry)
	a.hears(t, true)
	b.hears(t, true)
	b.sees(t, "select 1 from plain")
	b.down(t)
	a.does(t, "create table z as select id, salary as n from staff")
	a.down(t)
	b.serve(t)
	if out := b.sees(t, "select n from z"); washed(out) {
		t.Errorf("with A down, B shows %.100q", out)
	}
	if out := b.sees(t, "select word from plain where id = 7"); !strings.Contains(out, "word 7") {
		t.Errorf("what was there before is hidden: %q", out)
	}
	a.serve(t)
	b.hears(t, true)
	eventually(t, "B knows where z came from", func() bool { return strings.Contains(b.scanned(t, "public.z.n").Evidence, "copied from") })
	if out := b.sees(t, "select n from z"); washed(out) {
		t.Errorf("B shows %.100q", out)
	}
	a.hears(t, true)
	a.down(t) // a restart of A forgets nothing either
	a.serve(t)
	a.hears(t, true)
	b.hears(t, true)
	if out := a.sees(t, "select n from z") + b.sees(t, "select n from z"); washed(out) {
		t.Errorf("after another start: %.100q", out)
	}
}

// What a person says at one gateway holds at both.
func TestLabelOfAPersonHoldsAtEveryGateway(t *testing.T) {
	a, b, toA, toB := two(t, ruled)
	a.hears(t, true)
	b.hears(t, true)
	if s := b.scanned(t, "public.parts.name"); s.PII {
		t.Fatalf("at first: %+v", s)
	}
	for _, step := range []struct{ column, as, state string }{
		{"public.parts.name", "person", "personal"}, {"public.parts.code", "none", "clean"}, {"public.parts.code", "auto", "personal"}, {"public.parts.name", "none", "clean"},
	} {
		if err := a.say(t, boss, step.column, step.as); err != nil {
			t.Fatal(err)
		}
		if s := b.scanned(t, step.column); s.State != step.state {
			t.Errorf("%s as %s: %+v", step.column, step.as, s)
		}
		a, b = b, a // and the other way round
	}
	toA.set(true)
	toB.set(true)
	a.hears(t, false)
	s, err := a.Label(t.Context(), boss, api.LabelRequest{Connection: "orders", Column: "public.parts.name", As: "email", Reason: "x"})
	if err != nil || !strings.Contains(s.Note, "does not answer") || s.Type != "email" {
		t.Errorf("said while the other is silent: %+v %v", s, err)
	}
	toA.set(false)
	toB.set(false)
	eventually(t, "it is told later", func() bool { return b.scanned(t, "public.parts.name").Type == "email" })
}

// A gateway with another key is told nothing, and nothing that it says counts.
func TestDoorPeerWithAnotherKey(t *testing.T) {
	a, b, _, _ := two(t, laundry, func(_, b *site) { b.key = "thirty-two bytes of somebody else's making" })
	for _, s := range []*site{a, b} {
		if out := s.sees(t, "select n from plain where id = 7"); strings.Contains(out, "7") {
			t.Errorf("%s, which never heard its peer, shows %q", s.name, out)
		}
		if s.Silent() == "" {
			t.Errorf("%s hears one that does not have its key", s.name)
		}
	}
	if err := b.say(t, boss, "public.plain.word", "person"); err != nil {
		t.Fatal(err)
	}
	if s := a.scanned(t, "public.plain.word"); s.Overruled {
		t.Errorf("A believes it: %+v", s)
	}
	other, err := identity.NewPeer([]byte(b.key), "gw-b", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	sess, err := tunnel.Dial(t.Context(), a.addr, &tls.Config{InsecureSkipVerify: true, Certificates: other.Dial().Certificates}, tunnel.Config{})
	if err == nil {
		_, err = sess.Open(t.Context(), tunnel.Header{Kind: tunnel.API})
		sess.Close()
	}
	if err == nil {
		t.Error("a certificate of another key is let in")
	}
}

// A peer's certificate opens no database and no other message.
func TestDoorPeerThatActsAsAClient(t *testing.T) {
	a, _, _, _ := two(t, laundry)
	peer, err := identity.NewPeer([]byte(peerKey), "gw-b", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	sess, err := tunnel.Dial(t.Context(), a.addr, peer.Dial(), tunnel.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer sess.Close()
	if _, err := sess.Open(t.Context(), tunnel.Header{Kind: tunnel.Postgres, Connection: "orders"}); err == nil {
		t.Error("it opens a database")
	}
	for _, path := range []string{api.ConnectionsPath, api.InfoPath, api.SessionsPath} {
		conn, err := sess.Open(t.Context(), tunnel.Header{Kind: tunnel.API})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(answer), "404") {
			t.Errorf("%s: %.100q %v", path, answer, err)
		}
	}
}

// One file may serve all gateways: this one may be in its list, and another twice.
func TestPeersInOneList(t *testing.T) {
	a, b, _, _ := two(t, laundry, func(a, b *site) {
		all := []string{a.addr, b.addr, a.peers[0], b.peers[0]}
		a.peers, b.peers = all, all
	})
	a.hears(t, true)
	b.hears(t, true)
	eventually(t, "a gateway does not count itself", func() bool { return len(a.Stats().Peers) == 2 })
	for _, s := range []*site{a, b} {
		s.does(t, "insert into plain (id, n) select id + 500, salary from staff")
		for _, other := range []*site{a, b} {
			if out := other.sees(t, "select n from plain where id > 500"); washed(out) || out == "" {
				t.Errorf("%s shows %.100q", other.name, out)
			}
		}
	}
}

// One that does not list us may have gone on without telling us: nothing is vouched for.
func TestDoorPeerThatDoesNotListUs(t *testing.T) {
	a, b, _, _ := two(t, laundry)
	a.hears(t, true)
	b.hears(t, true)
	b.sees(t, "select 1 from plain")
	if s := b.Stats().Peers; len(s) != 1 || s[0].Address != b.peers[0] || s[0].Silent != 0 {
		t.Errorf("a peer that is heard is %+v", s)
	}
	a.down(t)
	a.peers = nil
	a.serve(t)
	b.hears(t, false)
	eventually(t, "it is counted how long a peer is silent", func() bool {
		s := b.Stats().Peers
		return len(s) == 1 && s[0].Silent > lease && s[0].Silent < time.Minute
	})
	eventually(t, "B doubts all", func() bool { return !strings.Contains(b.sees(t, "select n from plain where id = 7"), "7") })
}

// Two connections of one gateway to one database are no different.
func TestDoorCopyReadByAnotherConnectionToTheDatabase(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, laundry)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	second := gateway.Connection{Name: "reports", Env: "dev", Database: cfg, Groups: []string{gateway.Everyone}}
	th := startOn(t, dsn, gateway.Connection{Name: "orders", Env: "dev", Database: cfg}, nil, func(c *gateway.Config) { c.Connections = append(c.Connections, second) })
	reader := connect(t, th.to("reports", person("bob")))
	if out, err := run(reader, "select n from plain where id = 7"); err != nil || !strings.Contains(out, "7") {
		t.Fatalf("before: %q %v", out, err)
	}
	if _, err := run(connect(t, th.as(person("ada"))), "update plain set n = s.salary from staff s where s.id = plain.id; create table z as select id, salary as n from staff"); err != nil {
		t.Fatal(err)
	}
	if _, err := run(reader, "alter table z rename to y"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"select n from plain where id < 9", "select n from y"} {
		if out, err := run(connect(t, th.as(person("ada"))), sql); err != nil || washed(out) {
			t.Errorf("where it was made: %s: %.100q %v", sql, out, err)
		}
		out, err := run(reader, sql)
		if err != nil || washed(out) {
			t.Errorf("%s: %.100q %v", sql, out, err)
		}
	}
}
