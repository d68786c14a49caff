package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
)

const townSQL = `
create table people (id int primary key, email text, age int);
insert into people select i, 'ada' || i || '@example.com', 20 + i from generate_series(1, 50) i;
analyze people;`

// town is a gateway with credentials for two people.
type town struct {
	t         *testing.T
	dsn, dir  string
	home      string // of ada, who may do nothing special
	boss      string // of someone who may do all
	addr      string
	connected gateway.Connection
	conns     []gateway.Connection
	stop      func() // the gateway, as a signal does
	serves    chan error
	broken    bool // the gateway ends by itself, with an error
	house     *house
}

// newTown serves the connection orders, and more to the same database.
func newTown(t *testing.T, more ...string) *town {
	t.Helper()
	return newTownWith(t, func(*pgconn.Config) {}, more...)
}

// newTownWith is newTown where something is wrong with the databases of the further
// connections: their Database is still the connection's name when spoil gets them.
func newTownWith(t *testing.T, spoil func(*pgconn.Config), more ...string) *town {
	t.Helper()
	return newTownOf(t, nil, spoil, more...)
}

// newTownOf is newTownWith where jobs are let in.
func newTownOf(t *testing.T, jobs []identity.WorkloadConfig, spoil func(*pgconn.Config), more ...string) *town {
	t.Helper()
	return newTownIn(t, "prod", func(*houseConfig) {}, jobs, spoil, more...)
}

// newTownIn is newTownOf in another environment, with a house that alter has a say in.
func newTownIn(t *testing.T, env string, alter func(*houseConfig), jobs []identity.WorkloadConfig, spoil func(*pgconn.Config), more ...string) *town {
	t.Helper()
	w := &town{t: t, dsn: pgtest.Database(t), dir: t.TempDir(), home: t.TempDir(), boss: t.TempDir()}
	pgtest.Exec(t, w.dsn, townSQL)
	conn, err := devConnection(w.dsn, "orders", env)
	if err != nil {
		t.Fatal(err)
	}
	w.connected = conn
	conns := []gateway.Connection{conn}
	for _, name := range more {
		other, err := devConnection(w.dsn, name, env)
		if err != nil {
			t.Fatal(err)
		}
		right := other.Database.Database
		other.Database.Database = name
		spoil(other.Database)
		if other.Database.Database == name {
			other.Database.Database = right
		}
		conns = append(conns, other)
	}
	w.conns = conns
	a := &app{now: time.Now}
	cfg := houseConfig{
		dir: w.dir, hosts: []string{"127.0.0.1"}, connections: conns, workloads: jobs, log: new(bytes.Buffer),
		base: gateway.Config{Admins: []string{"boss"}, Auditors: []string{"boss"}},
	}
	alter(&cfg)
	h, err := a.openHouse(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.house, w.serves = h, make(chan error, 1)
	go func() { w.serves <- h.serve(ctx, ln) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-w.serves; err != nil && !w.broken {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	w.addr = ln.Addr().String()
	for home, who := range map[string]identity.Identity{
		w.home: {Subject: "ada", Kind: identity.Person, Method: "test"},
		w.boss: {Subject: "bob", Kind: identity.Person, Method: "test", Groups: []string{"boss", "dba"}},
	} {
		if err := h.admit(client.NewStore(home, time.Now), w.addr, who, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// run is one command as the person with that home.
func (w *town) run(home, in string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	a := &app{in: strings.NewReader(in), out: &o, err: &e, now: time.Now, env: func(name string) string {
		if name == "SLUICE_HOME" {
			return home
		}
		return ""
	}}
	code = a.run(w.t.Context(), args)
	return code, o.String(), e.String()
}

func TestExitCodesAndOutput(t *testing.T) {
	w := newTown(t)
	for _, c := range []struct {
		name, in, out, errs string
		code                int
		args                []string
	}{
		{name: "rows", args: []string{"exec", "orders", "-c", "select 1 as a, null as b", "-o", "csv"}, out: "a,b\n1,\n"},
		{name: "two statements", args: []string{"exec", "orders", "-c", "select 1 as a; select 2 as b", "-o", "csv"}, out: "a\n1\nb\n2\n"},
		{name: "file", in: "select 3 as c", args: []string{"exec", "orders", "-f", "-", "-o", "csv"}, out: "c\n3\n"},
		{name: "refused", args: []string{"exec", "orders", "-c", "drop table people"}, code: exitRefused, errs: "refused by policy: DROP"},
		{name: "held too long", args: []string{"exec", "orders", "-c", "alter table people add column x int", "--wait", "50ms"}, code: exitNotApproved, errs: "not approved within 50ms"},
		{name: "wrong SQL", args: []string{"exec", "orders", "-c", "select 1/0"}, code: exitError, errs: "(SQLSTATE 22012)"},
		{name: "psql command", args: []string{"exec", "orders", "-c", `\d people`}, code: exitUsage, errs: "commands of psql"},
		{name: "copy", args: []string{"exec", "orders", "-c", "copy people from stdin"}, code: exitUsage, errs: "COPY data"},
		{name: "nothing to run", args: []string{"exec", "orders"}, code: exitUsage, errs: "there is nothing to run"},
		{name: "unknown connection", args: []string{"exec", "order", "-c", "select 1"}, code: exitError, errs: `did you mean "orders"?`},
		{name: "unknown connection to connect", args: []string{"connect", "order"}, code: exitError, errs: `there is no connection "order" for you`},
		{name: "command", args: []string{"connect", "orders", "--", "sh", "-c", `echo "$PGHOST $PGUSER $PGSSLMODE"; exit 7`}, code: 7, out: "127.0.0.1 sluice disable\n"},
		{name: "no such command", args: []string{"connect", "orders", "--", "no-such-program"}, code: exitError, errs: "cannot be run"},
		{name: "not the auditor", args: []string{"audit", "verify"}, code: exitRefused, errs: "only auditors"},
		{name: "bad time", args: []string{"audit", "query", "--since", "soon"}, code: exitUsage, errs: "--since is"},
		{name: "no such ask", args: []string{"approvals", "approve", "zzzzz"}, code: exitError, errs: "no statement waits"},
		{name: "no such session", args: []string{"sessions", "kill", "zzzzz"}, code: exitError, errs: "there is no session"},
		{name: "no terminal", args: []string{"approvals"}, code: exitUsage, errs: "needs a terminal"},
		{name: "no asks", args: []string{"approvals", "ls", "-o", "json"}, out: "[]\n"},
		{name: "policy", args: []string{"policy", "show", "--source"}, out: "built-in sha256:"},
		{name: "group alone", args: []string{"audit"}, code: exitUsage, errs: "needs one of"},
		{name: "name and dsn", args: []string{"explain", "orders", "--dsn", "x"}, code: exitUsage, errs: "not both"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := w.run(w.home, c.in, c.args...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
				t.Errorf("code %d, want %d\nstdout: %s\nstderr: %s", code, c.code, out, errs)
			}
		})
	}
	if code, _, errs := w.run(t.TempDir(), "", "sessions", "ls"); code != exitNotLoggedIn {
		t.Errorf("without credentials: %d, %s", code, errs)
	}
}

func TestExecKeepsTypes(t *testing.T) {
	w := newTown(t)
	code, out, errs := w.run(w.home, "", "exec", "orders", "-o", "json", "-c", "select 1 as n, 'x' as s, true as b, null as z, 1.50::numeric as d, 2 as n")
	if code != 0 {
		t.Fatalf("%d: %s", code, errs)
	}
	var got, want any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`[{"n":1,"s":"x","b":true,"z":null,"d":1.50,"n_2":2}]`), &want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestScanAndExplainSayTheSameHereAndThere(t *testing.T) {
	w := newTown(t)
	for _, args := range [][]string{{"mask", "scan", "-o", "json"}, {"explain", "-o", "json", "-c", "select email from people where id = 1; delete from people"}} {
		code, there, errs := w.run(w.home, "", append(args, "orders")...)
		if code != 0 {
			t.Fatalf("%v: %d, %s", args, code, errs)
		}
		here := append(args, "--dsn", w.dsn)
		if args[0] == "explain" {
			here = append(here, "--env", "prod")
		}
		code, got, errs := w.run(t.TempDir(), "", here...)
		if code != 0 {
			t.Fatalf("%v: %d, %s", here, code, errs)
		}
		if d := cmp.Diff(there, got); d != "" {
			t.Error(d)
		}
		t.Log(got)
	}
}

func TestExplainContract(t *testing.T) {
	w := newTown(t)
	code, out, errs := w.run(w.home, "delete from people", "explain", "orders", "-o", "json")
	if code != 0 {
		t.Fatalf("%d: %s", code, errs)
	}
	want := `{"kind":"delete","reads":[],"writes":["public.people"],"target":"public.people","columns":[],"indirect":[],"signs":["no_where"],` +
		`"effect":"deny","rule":"no-change-of-every-row","reason":"this would change every row; add a WHERE clause that says which rows you mean","masks":[],"approvers":[],"sql":"delete from people"}` + "\n"
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
}

func TestPortTaken(t *testing.T) {
	w := newTown(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	code, _, errs := w.run(w.home, "", "connect", "orders", "--port", strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	if code != exitError || !strings.Contains(errs, "is taken by another program") || !strings.Contains(errs, "--port") {
		t.Errorf("%d: %s", code, errs)
	}
}

func TestApproverReleasesAndRecordShowsIt(t *testing.T) {
	w := newTown(t)
	done := make(chan int, 1)
	go func() {
		code, _, _ := w.run(w.home, "", "exec", "orders", "-c", "alter table people add column x int", "--reason", "ticket 7")
		done <- code
	}()
	gw, err := client.Open(t.Context(), client.NewStore(w.boss, time.Now), "")
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	id := ""
	found := context.Canceled
	err = gw.Watch(t.Context(), "/v1/asks/watch", func(line []byte) error {
		var asks []struct{ ID string }
		if err := json.Unmarshal(line, &asks); err != nil {
			return err
		}
		if len(asks) == 0 {
			return nil
		}
		id = asks[0].ID
		return found
	})
	if err != found {
		t.Fatal(err)
	}
	code, out, errs := w.run(w.boss, "", "approvals", "show", id)
	if code != 0 || !strings.Contains(out, "  alter table people add column x int\n") || !strings.Contains(out, "ticket 7") || !strings.Contains(out, "0 of 1 from dba") {
		t.Errorf("shown as %d: %s%s", code, out, errs)
	}
	if code, out, errs := w.run(w.boss, "", "approvals", "show", id, "--preview"); code != exitRefused || !strings.Contains(errs, "there is no preview") {
		t.Errorf("the preview of what has none: %d: %s%s", code, out, errs)
	}
	if code, _, errs := w.run(w.boss, "", "approvals", "approve", id, "--seal", "0123"); code != exitRefused || !strings.Contains(errs, "looked at") {
		t.Errorf("what was not looked at: %d, %s", code, errs)
	}
	if code, _, errs := w.run(w.home, "", "approvals", "break-glass", id, "--reason", "now"); code != exitRefused {
		t.Errorf("a glass that no rule lets break: %d, %s", code, errs)
	}
	if code, _, _ := w.run(w.home, "", "approvals", "break-glass", id); code != exitUsage {
		t.Errorf("without a reason: %d", code)
	}
	if code, _, errs := w.run(w.home, "", "approvals", "approve", id); code != exitRefused {
		t.Errorf("one's own ask: %d, %s", code, errs)
	}
	if code, _, errs := w.run(w.boss, "", "approvals", "approve", id, "--reason", "fine"); code != 0 || !strings.Contains(errs, "You approved "+id) {
		t.Errorf("%d: %s", code, errs)
	}
	if code := <-done; code != 0 {
		t.Errorf("the approved statement: %d", code)
	}
	code, out, errs = w.run(w.boss, "", "audit", "query", "--kind", "voted", "--who", "bob")
	if code != 0 || !strings.Contains(out, "voted") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	if code, out, errs := w.run(w.boss, "", "audit", "verify"); code != 0 || !strings.HasPrefix(out, "ok: ") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}

// A script is asked for ahead of time, approved, and run once.
func TestRequestedScriptRunsOnce(t *testing.T) {
	w := newTown(t)
	file := filepath.Join(t.TempDir(), "migration.sql")
	const sql = "alter table people add column y int;\nalter table people add column z int;\n"
	if err := os.WriteFile(file, []byte(sql), 0o600); err != nil {
		t.Fatal(err)
	}
	code, id, errs := w.run(w.home, "", "request", "orders", "-f", file, "--reason", "release 42")
	id = strings.TrimSpace(id)
	if code != 0 || !strings.HasPrefix(id, "r-") || !strings.Contains(errs, "sluice exec orders --request "+id) {
		t.Fatalf("%d: %s%s", code, id, errs)
	}
	for _, bad := range [][]string{{"request", "orders", "--reason", "x"}, {"request", "orders", "-f", file}, {"request", "orders", "-f", file, "--for", "1h", "--reason", "x"}, {"exec", "orders", "-c", "select 1", "--no-transaction"}} {
		if code, _, errs := w.run(w.home, "", bad...); code != exitUsage {
			t.Errorf("%q: %d: %s", bad, code, errs)
		}
	}
	if code, _, errs := w.run(w.home, "", "exec", "orders", "--request", id); code != exitNotApproved {
		t.Errorf("before it was approved: %d: %s", code, errs)
	}
	if code, out, errs := w.run(w.boss, "", "approvals", "show", id); code != 0 || !strings.Contains(out, "add column z int") || !strings.Contains(out, "release 42") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	if code, _, errs := w.run(w.home, "", "approvals", "approve", id); code != exitRefused {
		t.Errorf("one's own request: %d: %s", code, errs)
	}
	if code, _, errs := w.run(w.boss, "", "approvals", "approve", id); code != 0 {
		t.Fatalf("%d: %s", code, errs)
	}
	other := file + "2"
	if err := os.WriteFile(other, []byte(sql+"-- more"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := w.run(w.home, "", "exec", "orders", "--request", id, "-f", other); code != exitRefused || !strings.Contains(errs, "is not the script") {
		t.Errorf("another file: %d: %s", code, errs)
	}
	if code, _, errs := w.run(w.home, "", "exec", "orders", "--request", id); code != 0 {
		t.Fatalf("%d: %s", code, errs)
	}
	if code, _, errs := w.run(w.home, "", "exec", "orders", "--request", id); code != exitRefused || !strings.Contains(errs, "used") {
		t.Errorf("a second time: %d: %s", code, errs)
	}
	if code, out, _ := w.run(w.home, "", "request", "ls"); code != 0 || !strings.Contains(out, "used") {
		t.Errorf("%d: %s", code, out)
	}
	if code, _, errs := w.run(w.home, "", "request", "end", id); code != exitError {
		t.Errorf("what is used was taken back: %d: %s", code, errs)
	}
}

func TestFlippedByteIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	a := &app{now: time.Now}
	h, err := a.openHouse(t.Context(), houseConfig{dir: dir, log: new(bytes.Buffer)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.gateway.Watch(ctx, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := h.record.Close(); err != nil {
		t.Fatal(err)
	}
	w := &town{t: t}
	record := filepath.Join(dir, "record")
	if code, out, errs := w.run(t.TempDir(), "", "audit", "verify", "--dir", record); code != 0 || !strings.HasPrefix(out, "ok: 4 entries") {
		t.Fatalf("%d: %s%s", code, out, errs)
	}
	if code, out, errs := w.run(t.TempDir(), "", "audit", "query", "--dir", record); code != 0 || !strings.Contains(out, "policy built-in") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	files, err := filepath.Glob(filepath.Join(record, "entries", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(b, []byte("built-in"))
	b[i] = 'B'
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := w.run(t.TempDir(), "", "audit", "verify", "--dir", record)
	if code != exitError || out != "" || !strings.Contains(errs, "entry 0") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}
