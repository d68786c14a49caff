package leak

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// fewest is how many attacks the corpus must have.
const fewest = 300

// TestNothingLeaks sends every attack of the corpus directly, where it must show a
// secret, and through a gateway, as a person and as a job, where none may be in the
// bytes that come.
func TestNothingLeaks(t *testing.T) {
	list := readAttacks(t)
	if len(list) < fewest {
		t.Errorf("%d attacks are in the corpus, fewer than %d", len(list), fewest)
	}
	var total tally
	for _, group := range grouped(list) {
		t.Run(group[0].family, func(t *testing.T) {
			r := newRuns(t, group)
			for _, c := range group {
				r.attack(t, c)
			}
			total.add(r.tally)
		})
	}
	t.Logf("%d attacks, %d runs: %d refused, %d masked, %d leaks", len(list), total.runs, total.refused, total.runs-total.refused-total.leaks, total.leaks)
}

// grouped cuts the list by family, and into groups small enough that the tables of one do
// not slow down the reading of the catalogue.
func grouped(list []*attack) (groups [][]*attack) {
	const most = 40
	for _, c := range list {
		if n := len(groups); n > 0 && groups[n-1][0].family == c.family && len(groups[n-1]) < most {
			groups[n-1] = append(groups[n-1], c)
			continue
		}
		groups = append(groups, []*attack{c})
	}
	return groups
}

// attack runs one case in all its ways.
func (r *runs) attack(t *testing.T, c *attack) {
	defer r.leave()
	if c.oracle {
		r.oracle(t, c)
		return
	}
	shown := 0
	for _, w := range c.ways() {
		if r.directly(t, c, w) {
			shown++
		}
		for _, kind := range c.kinds() {
			r.through(t, c, w, kind)
		}
	}
	if shown == 0 {
		t.Errorf("%s %s: run directly it shows nothing", c.place, c.name)
	}
}

type tally struct{ runs, refused, leaks int }

func (a *tally) add(b tally) {
	a.runs, a.refused, a.leaks = a.runs+b.runs, a.refused+b.refused, a.leaks+b.leaks
}

// runs are the attacks as they are run: on two worlds that differ in their secrets only.
type runs struct {
	needles *needles
	here    *house // its database is used directly too, in another copy
	there   *house
	free    string // a world without a gateway
	free2   string

	tally
	number int // of the run that is next

	kept map[string]*client // sessions of the case that runs, by who they are of
}

// session is one of the case's own, or of all cases if it goes on directly: a fresh one
// unless the case is a single query, which leaves nothing behind.
func (r *runs) session(t *testing.T, c *attack, as string, dial func() (*client, error)) (conn *client, done func()) {
	t.Helper()
	if conn = r.kept[as]; conn != nil && len(c.messages) == 1 {
		conn.got.reset()
		return conn, func() {}
	}
	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.messages) == 1 && reads.MatchString(c.messages[0].sql) && !changes.MatchString(c.messages[0].sql) {
		r.kept[as] = conn
		return conn, func() {}
	}
	return conn, conn.close
}

// leave ends what a case had.
func (r *runs) leave() {
	for as, conn := range r.kept {
		if as != "" {
			conn.close()
			delete(r.kept, as)
		}
	}
}

// newRuns makes the worlds. Every run of every case has its tables from the beginning,
// so that they have been looked at.
func newRuns(t *testing.T, list []*attack) *runs {
	t.Helper()
	r := &runs{kept: map[string]*client{}, needles: newNeedles(flavours[0].secrets())}
	pg := pgtest.Cluster(t)
	places = strings.NewReplacer("{host}", pg.Host, "{port}", fmt.Sprint(pg.Port), "{password}", pg.Password, "{data}", value(t, pg.DSN("postgres"), "show data_directory"))
	var given strings.Builder
	number := 0
	for _, c := range list {
		for range len(c.ways()) * (len(c.kinds()) + 1) {
			for _, sql := range c.given {
				given.WriteString(named(sql, number) + ";\n")
			}
			number++
		}
	}
	given.WriteString("analyze;")
	r.here = newHouse(t, flavours[0].sql(), given.String())
	r.free = pgtest.Database(t)
	pgtest.Exec(t, r.free, flavours[0].sql()+given.String())
	if slices.ContainsFunc(list, func(c *attack) bool { return c.oracle }) {
		r.there = newHouse(t, flavours[1].sql(), given.String())
		r.free2 = pgtest.Database(t)
		pgtest.Exec(t, r.free2, flavours[1].sql()+given.String())
	}
	t.Cleanup(func() {
		if conn := r.kept[""]; conn != nil {
			conn.close()
		}
	})
	return r
}

// directly shows that an attack works: it reports whether a secret came.
func (r *runs) directly(t *testing.T, c *attack, w way) bool {
	t.Helper()
	defer r.next(t, c, r.free)
	conn, done := r.session(t, c, "", func() (*client, error) { return dial(r.free) })
	defer done()
	failed, err := c.send(conn, w, r.number)
	if err != nil {
		delete(r.kept, "")
		t.Errorf("%s %s, %s, directly: %v after %q", c.place, c.name, w, err, failed)
		return false
	}
	texts := conn.got.texts()
	for _, want := range c.shows {
		want = r.worked(t, want)
		if n := contained(texts, want); n {
			return true
		}
		if w == simple {
			t.Logf("%s %s: directly it does not show %q", c.place, c.name, want)
		}
	}
	s, _ := r.needles.find(texts)
	if s == "" && len(failed) > 0 && w == simple {
		t.Logf("%s %s, %s, directly: %q", c.place, c.name, w, failed)
	}
	return s != ""
}

func contained(texts []string, want string) bool {
	for _, text := range texts {
		if strings.Contains(text, want) || strings.Contains(flatten(text), flatten(want)) && len(flatten(want)) > 4 {
			return true
		}
	}
	return false
}

// worked is a text with the expression in « » worked out by the server.
func (r *runs) worked(t *testing.T, text string) string {
	t.Helper()
	inner, ok := strings.CutPrefix(text, "«")
	if !ok {
		return text
	}
	return value(t, r.free, "select ("+strings.TrimSuffix(inner, "»")+")::text")
}

// value is what a query says, past the gateway.
func value(t *testing.T, dsn, sql string) (out string) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, sql).Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// through sends an attack through the gateway.
func (r *runs) through(t *testing.T, c *attack, w way, kind identity.Kind) {
	t.Helper()
	defer r.next(t, c, r.here.direct)
	conn, done := r.session(t, c, string(kind), func() (*client, error) { return r.here.as(kind, fmt.Sprintf("eve%d", r.number)) })
	defer done()
	failed, err := c.send(conn, w, r.number)
	if err != nil {
		delete(r.kept, string(kind))
	}
	if err != nil && !ended(err) {
		t.Errorf("%s %s, %s, as a %s: %v", c.place, c.name, w, kind, err)
		return
	}
	r.runs++
	texts := conn.got.texts()
	secret, as := r.needles.find(texts)
	for _, want := range c.shows {
		if want = r.worked(t, want); contained(texts, want) {
			secret, as = want, want
		}
	}
	if secret != "" && !slices.Contains(c.tells, string(kind)) {
		r.leaks++
		t.Errorf("LEAK %s %s, %s, as a %s: %q by %q", c.place, c.name, w, kind, secret, as)
		return
	}
	for _, f := range failed {
		if strings.HasPrefix(f, "42501") {
			r.refused++
			break
		}
	}
	if testing.Verbose() && len(c.only) == 0 && w == simple {
		t.Logf("%s %s, %s: %q %s", c.place, c.name, kind, failed, quoted([]byte(strings.Join(texts, "~"))))
	}
}

func (r *runs) next(t *testing.T, c *attack, dsn string) {
	for _, sql := range c.undo {
		pgtest.Exec(t, dsn, named(sql, r.number))
	}
	r.number++
}

// oracle sends an attack to two worlds in which masks look the same: what comes must be
// the same too, though directly it is not.
func (r *runs) oracle(t *testing.T, c *attack) {
	t.Helper()
	told := map[string]bool{}
	for _, w := range c.ways() {
		one, two := r.listen(t, c, w, r.free, nil, ""), r.listen(t, c, w, r.free2, nil, "")
		if one == two && w == simple {
			t.Errorf("%s %s, %s: directly it tells nothing: %s", c.place, c.name, w, quoted([]byte(one)))
		}
		r.number++
		for _, kind := range c.kinds() {
			one, two := r.listen(t, c, w, "", r.here, kind), r.listen(t, c, w, "", r.there, kind)
			r.runs++
			r.number++
			if one == two {
				continue
			}
			told[string(kind)] = true
			if !slices.Contains(c.tells, string(kind)) {
				r.leaks++
				t.Errorf("LEAK %s %s, %s, as a %s: %s and %s", c.place, c.name, w, kind, quoted([]byte(one)), quoted([]byte(two)))
			}
		}
	}
	for _, kind := range c.tells {
		if !told[kind] {
			t.Errorf("%s %s: a %s is told nothing: say so", c.place, c.name, kind)
		}
	}
}

func (r *runs) listen(t *testing.T, c *attack, w way, dsn string, h *house, kind identity.Kind) string {
	t.Helper()
	var conn *client
	var err error
	if h != nil {
		dsn = h.direct
		conn, err = h.as(kind, fmt.Sprintf("eve%d", r.number))
	} else {
		conn, err = dial(dsn)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	defer func() {
		for _, sql := range c.undo {
			pgtest.Exec(t, dsn, named(sql, r.number))
		}
	}()
	if _, err := c.send(conn, w, r.number); err != nil && !ended(err) {
		t.Errorf("%s %s, %s: %v", c.place, c.name, w, err)
	}
	return strings.Join(conn.got.texts(), "\n")
}
