package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
)

// The corpus of innocent statements: what people and programs send all day, and what
// must run under the built-in policy as if Sluice were not there. Each case runs on a
// real server directly, and through a gateway in front of a second server that was
// made in the same way; both must succeed, every decision must be "allow", and what
// comes back must be the same to the byte. testdata/innocent/README.md says how to
// add a case and where those that are here come from.

// fewestInnocent is what the corpus must never fall below.
const fewestInnocent = 400

func TestInnocentStatementsRunAsIfDirect(t *testing.T) {
	direct, behind := innocentServer(t), innocentServer(t)
	for _, f := range innocentFamilies(t) {
		t.Run(f.name, func(t *testing.T) {
			f.run(t, direct, behind)
		})
	}
}

func TestInnocentCorpusIsLargeEnough(t *testing.T) {
	cases, texts := 0, map[string]bool{}
	for _, f := range innocentFamilies(t) {
		cases += len(f.cases)
		for _, c := range f.cases {
			for _, m := range c.messages {
				texts[m.sql] = true
			}
		}
	}
	if cases < fewestInnocent || len(texts) < cases {
		t.Errorf("%d cases of %d different statements, want %d at least", cases, len(texts), fewestInnocent)
	}
	t.Logf("%d cases, %d different statements", cases, len(texts))
}

// innocentServer is a server with the database that all families start from. The
// two of a test hand out the same object numbers, because they are made alike.
func innocentServer(t *testing.T) *pgcluster.Cluster {
	t.Helper()
	c, err := pgcluster.Start(context.Background(), pgcluster.Config{Settings: map[string]string{
		"autovacuum": "off", "shared_preload_libraries": "'pg_stat_statements'", "wal_level": "logical",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stop postgresql: %v", err)
		}
	})
	schema, err := os.ReadFile("testdata/innocent/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	execOn(t, c, "create database shop")
	pgtest.Exec(t, c.DSN("shop"), string(schema))
	return c
}

func execOn(t *testing.T, c *pgcluster.Cluster, sql string) {
	t.Helper()
	pgtest.Exec(t, c.DSN("postgres"), sql)
}

// innocent is a family of cases.
type innocent struct {
	name    string
	callers []identity.Kind
	env     string
	cases   []innocentCase
}

// innocentCase are messages that a session sends one after the other. It leaves the
// database as it found it, or is the only one to touch what it changes.
type innocentCase struct {
	name     string
	line     int  // in its file
	varies   bool // the values differ from run to run: clocks, numbers of processes
	personal bool // the values are personal and come back masked
	alone    bool // it changes its session, which no other case may see
	messages []innocentMessage
}

// innocentMessage is one statement, or several in one text.
type innocentMessage struct {
	sql      string
	extended bool     // parsed, bound and executed
	args     [][]byte // as text; nil is NULL
	copied   []byte   // what COPY FROM STDIN is sent; nil for other statements
}

// run has every caller of a family run its cases, one caller after the other.
func (f *innocent) run(t *testing.T, direct, behind *pgcluster.Cluster) {
	for _, server := range []*pgcluster.Cluster{direct, behind} {
		execOn(t, server, fmt.Sprintf("create database %q template shop", f.name))
		t.Cleanup(func() { execOn(t, server, fmt.Sprintf("drop database %q with (force)", f.name)) })
	}
	cfg, err := pgconn.ParseConfig(behind.DSN(f.name))
	if err != nil {
		t.Fatal(err)
	}
	th := startOn(t, behind.DSN(f.name), gateway.Connection{Name: "orders", Env: f.env, Database: cfg}, nil, func(c *gateway.Config) {
		c.Hold, c.HoldTransaction = time.Millisecond, time.Millisecond // nobody will approve
	})
	for _, kind := range f.callers {
		t.Run(string(kind), func(t *testing.T) { f.runAs(t, direct.DSN(f.name), th, kind) })
	}
	res, err := th.log.Query(context.Background(), audit.Filter{Kind: audit.Decided, Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range res.Events {
		if e.Effect != "allow" {
			t.Errorf("%s by rule %s: %.300s", e.Effect, e.Rule, e.SQL)
		}
	}
	if len(res.Events) < len(f.cases)*len(f.callers) {
		t.Errorf("%d decisions on %d cases", len(res.Events), len(f.cases))
	}
}

func (f *innocent) runAs(t *testing.T, direct string, th *through, kind identity.Kind) {
	who := person("ada", "engineers")
	who.Kind = kind
	if kind == identity.Agent {
		who.Owner, who.Writes = "ada@example.com", true
	}
	port := th.as(who)
	p := innocentPair{direct: connect(t, direct), through: connect(t, port)}
	again := func() {
		p.close()
		p = innocentPair{direct: connect(t, direct), through: connect(t, port)}
	}
	for _, c := range f.cases {
		if c.alone {
			again()
		}
		if !p.same(t, f, &c) || c.alone { // what a failed case leaves behind is not the next one's
			again()
		}
	}
	p.close()
}

// innocentPair are two connections to databases that are alike.
type innocentPair struct{ direct, through *pgx.Conn }

func (p innocentPair) close() {
	p.direct.Close(context.Background())
	p.through.Close(context.Background())
}

// same runs a case on both, and reports whether they agree.
func (p innocentPair) same(t *testing.T, f *innocent, c *innocentCase) bool {
	for i, m := range c.messages {
		var err error
		if m.sql, err = fill(p.direct, m.sql); err != nil {
			t.Errorf("%s:%d: %s: %v", f.name, c.line, c.name, err)
			return false
		}
		want, err := m.send(p.direct, c)
		if err != nil {
			t.Errorf("%s:%d: %s: message %d is not valid even directly: %v", f.name, c.line, c.name, i+1, err)
			return false
		}
		got, err := m.send(p.through, c)
		if err != nil {
			t.Errorf("%s:%d: %s: message %d: %v\n%.400s", f.name, c.line, c.name, i+1, err, m.sql)
			return false
		}
		if got != want {
			t.Errorf("%s:%d: %s: message %d: %s\n%.400s", f.name, c.line, c.name, i+1, firstDifference([]byte(got), []byte(want)), m.sql)
			return false
		}
	}
	return true
}

// filled is an expression in the text of a case, worked out on the server: numbers of
// objects are not the same everywhere.
var filled = regexp.MustCompile(`«.+?»`)

func fill(conn *pgx.Conn, sql string) (out string, err error) {
	return filled.ReplaceAllStringFunc(sql, func(s string) string {
		var text string
		if e := conn.QueryRow(context.Background(), "select ("+strings.Trim(s, "«»")+")::text").Scan(&text); e != nil {
			err = fmt.Errorf("work out %s: %w", s, e)
		}
		return text
	}), err
}

var copiesOut = regexp.MustCompile(`(?is)^\s*copy\b.*\bto\s+stdout\b`)

// send gives back what came, as much as can be compared: all of it; of values that
// are masked their number; of those that vary the names of their columns.
func (m *innocentMessage) send(conn *pgx.Conn, c *innocentCase) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pg, b := conn.PgConn(), &bytes.Buffer{}
	switch {
	case m.copied != nil:
		tag, err := pg.CopyFrom(ctx, bytes.NewReader(m.copied), m.sql)
		return tag.String(), err
	case copiesOut.MatchString(m.sql):
		tag, err := pg.CopyTo(ctx, b, m.sql)
		if c.personal || c.varies {
			b.Reset()
		}
		return b.String() + tag.String(), err
	case m.extended:
		rr := pg.ExecParams(ctx, m.sql, m.args, nil, nil, nil)
		err := transcribe(b, rr, c)
		return b.String(), err
	}
	results := pg.Exec(ctx, m.sql)
	for results.NextResult() {
		if err := transcribe(b, results.ResultReader(), c); err != nil {
			results.Close()
			return "", err
		}
	}
	err := results.Close()
	return b.String(), err
}

// firstUserOID is the least number of a type that users make. Those depend on what else
// the server numbers meanwhile, such as what autovacuum keeps.
const firstUserOID = 16384

func transcribe(b *bytes.Buffer, rr *pgconn.ResultReader, c *innocentCase) error {
	for _, f := range rr.FieldDescriptions() {
		fmt.Fprintf(b, "%s %d %d\n", f.Name, min(f.DataTypeOID, firstUserOID), f.Format)
	}
	for rr.NextRow() {
		if c.personal || c.varies {
			continue
		}
		for _, v := range rr.Values() {
			if v == nil {
				b.WriteString("NULL")
			}
			b.Write(v)
			b.WriteByte('\t')
		}
		b.WriteByte('\n')
	}
	tag, err := rr.Close()
	if !c.varies {
		b.WriteString(tag.String() + "\n")
	}
	return err
}

// innocentFamilies reads testdata/innocent.
func innocentFamilies(t *testing.T) []*innocent {
	t.Helper()
	paths, err := filepath.Glob("testdata/innocent/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	var list []*innocent
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := readInnocent(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, f)
	}
	return list
}

// readInnocent reads one file. Before the first case stand lines of prose, and who
// sends the cases to databases of which env.
func readInnocent(name, text string) (*innocent, error) {
	f := &innocent{name: name}
	var c *innocentCase
	var body []string
	end := func() error { // of a case
		if c == nil {
			return nil
		}
		if rest := strings.TrimSpace(strings.Join(body, "\n")); rest != "" {
			c.messages = append(c.messages, innocentMessage{sql: rest})
		}
		if len(c.messages) == 0 {
			return fmt.Errorf("line %d: %s: a case without a statement", c.line, c.name)
		}
		body, f.cases = nil, append(f.cases, *c)
		return nil
	}
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "== "):
			if err := end(); err != nil {
				return nil, err
			}
			var err error
			if c, err = titled(line[3:], i+1); err != nil {
				return nil, err
			}
		case c == nil:
			if err := f.header(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
		case line == ";;" || strings.HasPrefix(line, ";; "):
			m := innocentMessage{sql: strings.TrimSpace(strings.Join(body, "\n"))}
			if err := m.how(strings.TrimSpace(line[2:])); err != nil || m.sql == "" {
				return nil, fmt.Errorf("line %d: no statement, or not how it is sent: %w", i+1, err)
			}
			c.messages, body = append(c.messages, m), nil
		default:
			body = append(body, line)
		}
	}
	if err := end(); err != nil {
		return nil, err
	}
	if len(f.callers) == 0 || f.env == "" || len(f.cases) == 0 {
		return nil, fmt.Errorf("no callers, no env or no cases")
	}
	return f, nil
}

func (f *innocent) header(line string) error {
	key, value, _ := strings.Cut(line, ": ")
	switch key {
	case "callers":
		for _, k := range strings.Split(value, ", ") {
			switch kind := identity.Kind(k); kind {
			case identity.Person, identity.Job, identity.Agent:
				f.callers = append(f.callers, kind)
			default:
				return fmt.Errorf("no caller is a %q", k)
			}
		}
	case "env":
		f.env = value
	}
	return nil
}

// titled reads the line that begins a case: its name, and what is special about it.
func titled(line string, number int) (*innocentCase, error) {
	title, marks, marked := strings.Cut(line, " | ")
	c := &innocentCase{name: title, line: number}
	if !marked {
		return c, nil
	}
	for _, m := range strings.Split(marks, ", ") {
		switch m {
		case "varies":
			c.varies = true
		case "personal", "hidden":
			c.personal = true
		case "alone":
			c.alone = true
		default:
			return nil, fmt.Errorf("line %d: no mark %q", number, m)
		}
	}
	return c, nil
}

// how reads what stands behind ;; : nothing for a simple query, parameters as a JSON
// list of texts, or < and what COPY is sent as a JSON text.
func (m *innocentMessage) how(s string) error {
	if rest, ok := strings.CutPrefix(s, "<"); ok {
		var data string
		err := json.Unmarshal([]byte(rest), &data)
		m.copied = []byte(data)
		return err
	}
	if s == "" {
		return nil
	}
	var args []*string
	if err := json.Unmarshal([]byte(s), &args); err != nil {
		return err
	}
	m.extended = true
	for _, a := range args {
		if a == nil {
			m.args = append(m.args, nil)
		} else {
			m.args = append(m.args, []byte(*a))
		}
	}
	return nil
}
