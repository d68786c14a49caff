package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgcluster"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
)

// fewestAttacks is how many cases the corpus must have that were proven.
const fewestAttacks = 400

// Every attack of the corpus does what its name says when it is run directly, and a
// session under the built-in policy stops it.
func TestAttacks(t *testing.T) {
	list := attacks(t)
	w := newWorld(t, list)
	var cases []*attack
	for _, f := range list {
		for _, c := range f.cases {
			if c.needs == "" || w.has(t, c.needs) { // otherwise another server proves it
				cases = append(cases, c)
			}
		}
	}
	t.Run("all", func(t *testing.T) {
		t.Run("directly", func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				w.prove(t, c)
			}
		})
		t.Run("through Sluice", func(t *testing.T) {
			t.Parallel()
			for _, c := range cases {
				w.ask(t, c)
				w.askOthers(t, c)
			}
			w.compare(t)
		})
	})
	if len(cases) < fewestAttacks {
		t.Errorf("%d attacks are in the corpus, fewer than %d", len(cases), fewestAttacks)
	}
}

// world is the database that is attacked: two copies of a template, one to run on
// directly, one behind gateways.
type world struct {
	cluster  *pgcluster.Cluster
	template string // connection string; nobody stays connected to it
	direct   string
	front    map[string]*through // by env
	ports    map[string]string   // by env and kind of caller
	asked    map[string]*attack  // by the name of the program that sent it
	values   *strings.Replacer   // {{port}} and the like
}

const crossing = 5 * time.Second // the longest that one statement may take

func newWorld(t *testing.T, list []family) *world {
	t.Helper()
	w := &world{cluster: pgtest.Cluster(t), front: map[string]*through{}, ports: map[string]string{}, asked: map[string]*attack{}}
	w.template = pgtest.Database(t)
	setup, err := os.ReadFile("testdata/attacks/world.sql")
	if err != nil {
		t.Fatal(err)
	}
	w.values = strings.NewReplacer("{{host}}", w.cluster.Host, "{{port}}", fmt.Sprint(w.cluster.Port), "{{password}}", w.cluster.Password,
		"{{data}}", answer(t, w.template, "show data_directory"), "{{db}}", "attacked")
	pgtest.Exec(t, w.template, string(setup))
	for _, f := range list {
		if f.setup != "" {
			pgtest.Exec(t, w.template, w.values.Replace(f.setup))
		}
	}
	w.direct = w.copy(t, "attacked")
	behind, err := pgconn.ParseConfig(w.copy(t, "behind"))
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"prod", "staging"} {
		w.front[env] = startOn(t, w.direct, gateway.Connection{Name: "orders", Env: env, Database: behind}, policy.Builtin(),
			func(c *gateway.Config) { c.Hold, c.HoldTransaction = time.Millisecond, time.Millisecond })
	}
	return w
}

// copy makes a database like the template, and gives its connection string.
func (w *world) copy(t *testing.T, name string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(w.template)
	if err != nil {
		t.Fatal(err)
	}
	admin := w.cluster.DSN("postgres")
	pgtest.Exec(t, admin, fmt.Sprintf("create database %q template %q", name, cfg.Database))
	t.Cleanup(func() { pgtest.Exec(t, admin, fmt.Sprintf("drop database if exists %q with (force)", name)) })
	return w.cluster.DSN(name)
}

func (w *world) has(t *testing.T, extension string) bool {
	t.Helper()
	return answer(t, w.direct, "select count(*) from pg_available_extensions where name = '"+extension+"'") == "1"
}

// answer is what a query says, on a connection of its own.
func answer(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	out, err := run(conn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return strings.TrimSpace(out)
}

// prove runs an attack directly and checks that it did what it is named after.
func (w *world) prove(t *testing.T, c *attack) {
	t.Helper()
	dsn := w.direct
	if c.alone {
		dsn = w.copy(t, "alone")
		defer pgtest.Exec(t, w.cluster.DSN("postgres"), `drop database if exists "alone" with (force)`)
	}
	if c.after != "" {
		defer pgtest.Exec(t, w.cluster.DSN("postgres"), c.after)
	}
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	look := func() string {
		if c.proof == "" {
			return ""
		}
		if c.alone { // by somebody else, since what the attack did to its own session is not the point
			return answer(t, dsn, w.values.Replace(c.proof))
		}
		out, err := run(conn, w.values.Replace(c.proof))
		if err != nil {
			t.Errorf("%s %s: the proof cannot be asked: %v", c.place, c.name, err)
		}
		return strings.TrimSpace(out)
	}
	if !c.alone {
		must(t, c, conn, "begin")
	}
	must(t, c, conn, "set statement_timeout = '5s'")
	for _, sql := range slices.Concat(c.given, c.before) {
		must(t, c, conn, w.values.Replace(sql))
	}
	before := look()
	out, err := w.send(conn, c)
	c.proven(t, before, out, err, look)
}

// proven checks the proofs a case has.
func (c *attack) proven(t *testing.T, before, out string, err error, look func() string) {
	t.Helper()
	if code := codeOf(err); code != c.code {
		t.Errorf("%s %s: run directly it ends with %v", c.place, c.name, err)
		return
	}
	if c.proof != "" {
		after := look()
		if before == after || after != c.becomes && c.becomes != "changed" {
			t.Errorf("%s %s: run directly %s was %q and is %q, want %q", c.place, c.name, c.proof, before, after, c.becomes)
		}
	}
	if c.shows != "" && !strings.Contains(out, c.shows) {
		t.Errorf("%s %s: run directly it shows %.300q, want %q in it", c.place, c.name, out, c.shows)
	}
}

func must(t *testing.T, c *attack, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := run(conn, sql); err != nil {
		t.Errorf("%s %s: %s: %v", c.place, c.name, sql, err)
	}
}

// codeOf is the SQLSTATE of an error, "" of none.
func codeOf(err error) string {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &pg):
		return pg.Code
	}
	return err.Error()
}

// send sends the messages of an attack until one fails.
func (w *world) send(conn *pgx.Conn, c *attack) (string, error) {
	var all strings.Builder
	for _, m := range c.run {
		sql := w.values.Replace(m.sql)
		if !m.extended {
			out, err := run(conn, sql)
			all.WriteString(out)
			if err != nil {
				return all.String(), err
			}
			continue
		}
		params := make([][]byte, len(m.params))
		for i, p := range m.params {
			params[i] = []byte(p)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 4*crossing)
		res := conn.PgConn().ExecParams(ctx, sql, params, nil, nil, nil).Read()
		cancel()
		for _, row := range res.Rows {
			all.Write(bytes.Join(row, []byte("|")))
			all.WriteByte('\n')
		}
		if res.Err != nil {
			return all.String(), res.Err
		}
	}
	return all.String(), nil
}

// ask sends an attack through a session of its own. compare then looks what the
// record says of it.
func (w *world) ask(t *testing.T, c *attack) {
	t.Helper()
	program := fmt.Sprintf("attack %d", len(w.asked))
	w.asked[program] = c
	cfg, err := pgx.ParseConfig(w.port(c))
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["application_name"] = program
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	must(t, c, conn, "begin") // and never commit, so that what slips through is not there for the next
	for _, sql := range c.before {
		must(t, c, conn, w.values.Replace(sql))
	}
	out, err := w.send(conn, c)
	switch {
	case c.verdict == "masked":
		if strings.Contains(out, c.shows) || err != nil && strings.Contains(err.Error(), c.shows) {
			t.Errorf("%s %s: through Sluice it shows %.300q, %v", c.place, c.name, out, err)
		}
	case err == nil:
		t.Errorf("%s %s: through Sluice it ran", c.place, c.name)
	}
}

func (w *world) port(c *attack) string {
	key := c.env + " " + c.as
	if w.ports[key] == "" {
		w.ports[key] = w.front[c.env].as(caller(c.as))
	}
	return w.ports[key]
}

func caller(kind string) identity.Identity {
	who := person("eve")
	who.Kind = identity.Kind(kind)
	if who.Kind == identity.Agent {
		who.Owner, who.Writes = "eve@example.com", true // the policy alone is tried
	}
	return who
}

// askOthers asks what a job and an agent would get: never more than a person.
func (w *world) askOthers(t *testing.T, c *attack) {
	t.Helper()
	if len(c.run) != 1 || len(c.before) > 0 || c.verdict == "masked" || strings.HasSuffix(c.verdict, "names-are-known") {
		return // only a session knows what the messages before it did
	}
	for _, kind := range []string{"job", "agent"} {
		list, err := w.front[c.env].Explain(context.Background(), caller(kind), "orders", w.values.Replace(c.run[0].sql))
		if err != nil {
			t.Fatal(err)
		}
		got := policy.Allow
		for _, e := range list {
			got = min(got, e.Effect)
		}
		if want, _ := c.wants(); got > want {
			t.Errorf("%s %s: to a %s the verdict is %s, want %s", c.place, c.name, kind, got, want)
		}
	}
}

// wants is the verdict that a case expects.
func (c *attack) wants() (policy.Effect, string) {
	name, rule, _ := strings.Cut(c.verdict, " ")
	var e policy.Effect
	if err := e.UnmarshalText([]byte(name)); err != nil {
		e = policy.Allow
	}
	return e, rule
}

// compare looks in the record what was decided of each attack.
func (w *world) compare(t *testing.T) {
	t.Helper()
	strictest := map[string]audit.Event{}
	for _, th := range w.front {
		res, err := th.log.Query(context.Background(), audit.Filter{Kind: audit.Decided, Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range res.Events {
			// Newest first: what was refused first is why the rest was.
			if old, ok := strictest[ev.Client]; !ok || effect(ev) <= effect(old) {
				strictest[ev.Client] = ev
			}
		}
	}
	for program, c := range w.asked {
		want, rule := c.wants()
		got := strictest[program]
		if effect(got) > want || effect(got) == want && rule != "" && !slices.Contains(strings.Split(got.Rule, ", "), rule) {
			t.Errorf("%s %s: the verdict is %s by %s, signs %v, want %s", c.place, c.name, got.Effect, got.Rule, got.Signs, c.verdict)
		}
	}
}

func effect(ev audit.Event) policy.Effect {
	e := policy.Allow
	if ev.Effect != "" {
		if err := e.UnmarshalText([]byte(ev.Effect)); err != nil {
			return policy.Allow
		}
	}
	return e
}
