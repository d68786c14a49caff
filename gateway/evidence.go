package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// Limits of looking things up for approvers. They see the ask at once; what is found
// comes when it is there.
const (
	planTime = time.Second            // of EXPLAIN, and of looking at locks
	planLock = 100 * time.Millisecond // that it waits for a lock
	maxLocks = 5                      // lines of them: a person reads no more

	// locksEach is how many locks more than are shown are read, as some may be the
	// session's own: a session holds few on one relation.
	locksEach = 4
)

// evidence is what is known of a held request at once.
func (s *session) evidence(j *job) *approval.Evidence {
	ev := approval.Evidence{From: s.From, Client: s.program, Why: s.why}
	if len(j.runs) == 1 {
		ev.Shape = j.runs[0].text.Fingerprint
	}
	for _, x := range j.runs {
		ev.Reads = addNew(ev.Reads, x.about.reads)
		ev.Writes = addNew(ev.Writes, x.about.writes)
		ev.Signs = addNew(ev.Signs, x.about.signs)
		for _, m := range s.masks(x) {
			ev.Masked = append(ev.Masked, m.Column+": "+m.Label)
		}
		ev.Clear = append(ev.Clear, inClear(x)...)
	}
	return &ev
}

func addNew(list, more []string) []string {
	for _, m := range more {
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// inClear are the result columns of personal data that the caller would see as they are.
func inClear(x *run) (out []string) {
	for i, c := range x.about.result {
		for _, l := range x.about.labels[i] {
			if l.PII && (x.bare() || slices.Contains(x.verdict.Unmask, string(l.Type))) {
				out = append(out, c.Name+": "+string(l.Type))
				break
			}
		}
	}
	return out
}

// investigate looks up what approvers want to know of a held request, and tells it to
// them. It ends with the wait, and nothing of it delays the answer.
func (s *session) investigate(c *investigation, known *lookedUp) {
	looks := approval.Looks{Done: true, Whole: -1}
	if c.unplanned != "" {
		looks.Notes = append(looks.Notes, "no estimate: "+c.unplanned)
	} else if err := s.base.aside.ask(c.ctx, s.base, func(conn *pgx.Conn) error { return s.plan(conn, c, known, &looks) }); err != nil {
		looks.Notes = append(looks.Notes, "no estimate: "+sqlProblem(err))
	}
	s.history(c, known, &looks)
	if c.ctx.Err() != nil {
		return
	}
	s.g.desk.Learn(c.id, func(ev approval.Evidence) approval.Evidence {
		ev.Looks = looks
		return ev
	})
}

// sqlProblem words an error of the database without values of rows.
func sqlProblem(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		fields, _ := mask.Egress(map[byte]string{'M': pg.Message, 'C': pg.Code}, true, nil)
		return fields['M'] + " (SQLSTATE " + pg.Code + ")"
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return "it took too long"
	}
	return "the database could not be asked"
}

// plannable is the one statement of a job that can be planned elsewhere than in its
// session without running code; problem says why there is none.
func (s *session) plannable(j *job) (x *run, problem string) {
	if len(j.runs) != 1 {
		return nil, "it is several statements"
	}
	x = j.runs[0]
	st := x.means
	switch {
	case x.text != x.means:
		return nil, "it runs by a name that only its session knows"
	case !slices.Contains([]query.Kind{query.Select, query.Insert, query.Update, query.Delete, query.Merge}, st.Kind):
		return nil, "statements of this kind have no plan"
	case st.Partial || st.Has(query.UnknownRoutine) || st.Has(query.DynamicSQL) || st.Has(query.ServerFile) || st.Has(query.Program) || st.Has(query.SessionState) || len(st.Inside) > 0 && !s.byTriggersOnly(x):
		return nil, "planning it could run code"
	case s.movedNames():
		return nil, "its session has changed what names mean"
	}
	return x, ""
}

// untouched is a catalogue in which nothing hangs on relations.
type untouched struct {
	query.Schema
	query.Routiner
}

// alone is a statement read as if nothing hung on the relations it names; the statement
// itself if it cannot be.
func (s *session) alone(x *run) *query.Statement {
	schema := s.base.current.Load().paths[0]
	routines, ok := schema.(query.Routiner)
	if !ok || len(x.means.Consequences) == 0 {
		return x.means
	}
	list := query.Analyze(x.text.SQL, untouched{schema, routines})
	if len(list) != 1 || list[0].Kind != x.means.Kind {
		return x.means
	}
	return &list[0]
}

// byTriggersOnly reports whether what runs inside of a statement is what triggers run.
// Planning fires none.
func (s *session) byTriggersOnly(x *run) bool {
	st := s.alone(x)
	return len(st.Inside) == 0 && !st.Partial && !st.Has(query.UnknownRoutine)
}

// movedNames reports whether names may mean something else here than in a new session.
func (s *session) movedNames() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.names
	return n.path || n.opaque || n.changed || n.code || len(n.names) > 0 || n.misread != ""
}

// plan asks the planner, and who else is at what the statement writes.
func (s *session) plan(conn *pgx.Conn, c *investigation, known *lookedUp, looks *approval.Looks) error {
	plan, err := explained(c.ctx, conn, c.x.text.SQL, c.params)
	if err != nil {
		return err
	}
	rows, err := plannedRows(plan)
	if err != nil {
		return err
	}
	looks.Planned, looks.Rows = true, rows
	return s.locks(conn, c, known, looks)
}

// explained is the plan of a statement, in a transaction that is undone. All of it is
// one message there and one back: however far away the database is, many plans take
// little longer than one.
func explained(ctx context.Context, conn *pgx.Conn, sql string, params []wire.Param) ([]byte, error) {
	ctx, done := context.WithTimeout(ctx, planTime+cancelTime) // the server's own limit comes first
	defer done()
	b := &pgconn.Batch{}
	for _, before := range beginBounded(planTime, planLock, false) {
		b.ExecParams(before, nil, nil, nil, nil)
	}
	b.ExecParams("explain (format json) "+sql, values(params), oids(params), formats(params), nil)
	b.ExecParams("rollback", nil, nil, nil, nil)
	results, err := conn.PgConn().ExecBatch(ctx, b).ReadAll()
	if err != nil {
		undo(ctx, conn)
		return nil, err
	}
	res := results[len(results)-2]
	if len(res.Rows) != 1 || len(res.Rows[0]) != 1 {
		return nil, errors.New("the plan is no plan")
	}
	return res.Rows[0][0], nil
}

// tableLooks is what is known of a relation.
type tableLooks struct {
	whole int64
	locks []heldLock // the oldest first
}

// heldLock is a lock, and by which process.
type heldLock struct {
	pid  int32
	text string
}

// locks is who waits for the session, and who is at what its statement changes.
func (s *session) locks(conn *pgx.Conn, c *investigation, known *lookedUp, looks *approval.Looks) error {
	waiting, err := answer(&known.waiters, "", c, func() (map[int32]int, error) { return waiters(c.ctx, conn) })
	if err != nil {
		return err
	}
	pid := int32(s.server.PID())
	if n := waiting[pid]; n > 0 {
		looks.Locks = append(looks.Locks, fmt.Sprintf("%d others wait for locks that this session holds", n))
	}
	table, ok := mainTable(s.alone(c.x))
	if !ok {
		return nil
	}
	looks.Table = table.String()
	found, err := answer(&known.tables, looks.Table, c, func() (tableLooks, error) { return lookAtTable(c.ctx, conn, table) })
	if err != nil {
		return err
	}
	looks.Whole = found.whole
	others := 0
	for _, l := range found.locks {
		if l.pid != pid && others < maxLocks {
			looks.Locks = append(looks.Locks, l.text)
			others++
		}
	}
	return nil
}

// waiters is how many processes wait for locks of each. Who blocks whom is asked only of
// those that wait: it stops the whole lock table.
func waiters(ctx context.Context, conn *pgx.Conn) (n map[int32]int, err error) {
	const waits = `with w as materialized (select distinct pid from pg_catalog.pg_locks where not granted)
select b, count(*) from w, pg_catalog.unnest(pg_catalog.pg_blocking_pids(pid)) b group by b`
	n = map[int32]int{}
	err = bounded(ctx, conn, planTime, planLock, false, func() error {
		rows, err := conn.Query(ctx, waits)
		if err != nil {
			return err
		}
		var pid int32
		var count int
		_, err = pgx.ForEachRow(rows, []any{&pid, &count}, func() error { n[pid] = count; return nil })
		return err
	})
	return n, err
}

// lookAtTable is how large a relation is, and who holds locks on it that readers do not.
func lookAtTable(ctx context.Context, conn *pgx.Conn, table query.Ref) (found tableLooks, err error) {
	name := pgx.Identifier{table.Schema, table.Table}.Sanitize()
	err = bounded(ctx, conn, planTime, planLock, false, func() error {
		if err := conn.QueryRow(ctx, `select coalesce((select reltuples from pg_catalog.pg_class where oid = pg_catalog.to_regclass($1)), -1)::bigint`, name).Scan(&found.whole); err != nil {
			return err
		}
		rows, err := conn.Query(ctx, `
select l.pid, l.mode || ' on ' || $2 || ' for ' || coalesce(extract(epoch from pg_catalog.now() - a.xact_start)::bigint, 0) || 's by ' || coalesce(nullif(a.application_name, ''), 'process ' || l.pid)
from pg_catalog.pg_locks l left join lateral pg_catalog.pg_stat_get_activity(l.pid) a on true
where l.relation = pg_catalog.to_regclass($1) and l.granted and l.pid <> pg_catalog.pg_backend_pid() and l.mode <> 'AccessShareLock'
order by a.xact_start, l.pid limit $3`, name, table.String(), maxLocks*locksEach)
		if err != nil {
			return err
		}
		var l heldLock
		_, err = pgx.ForEachRow(rows, []any{&l.pid, &l.text}, func() error { found.locks = append(found.locks, l); return nil })
		return err
	})
	return found, err
}

// mainTable is the relation that a statement changes, or the only one that it reads.
func mainTable(st *query.Statement) (query.Ref, bool) {
	if st.Target != nil && st.Target.Schema != "" {
		return *st.Target, true
	}
	list := st.Targets
	if len(list) == 0 {
		list = st.Relations
	}
	if len(list) != 1 || list[0].Schema == "" {
		return query.Ref{}, false
	}
	return list[0], true
}

// planNode is what we read of a plan.
type planNode struct {
	Type  string     `json:"Node Type"`
	Rows  float64    `json:"Plan Rows"`
	Plans []planNode `json:"Plans"`
}

// plannedRows is how many rows the planner expects at the top of a plan. A node that
// changes rows promises none itself; what it changes comes from below.
func plannedRows(plan []byte) (int64, error) {
	var list []struct{ Plan planNode }
	if err := json.Unmarshal(plan, &list); err != nil || len(list) != 1 {
		return 0, fmt.Errorf("read the plan: %w", errors.Join(err, errors.New("it is not one plan")))
	}
	n := list[0].Plan
	if n.Type == "ModifyTable" && len(n.Plans) > 0 {
		n = n.Plans[0]
	}
	return int64(n.Rows), nil
}

func values(params []wire.Param) [][]byte {
	out := make([][]byte, len(params))
	for i, p := range params {
		out[i] = p.Value
	}
	return out
}

func formats(params []wire.Param) []int16 {
	out := make([]int16, len(params))
	for i, p := range params {
		if p.Binary {
			out[i] = 1
		}
	}
	return out
}

// oids are the parameter types as the client gave them. A binary value of a type that
// is not known is sent with the type that the session's server inferred, or none.
func oids(params []wire.Param) []uint32 {
	out := make([]uint32, len(params))
	for i, p := range params {
		out[i] = p.TypeOID
	}
	return out
}

// maxWhy is how much of a caller's reason is kept.
const maxWhy = approval.MaxReason

// ours is the prefix of the settings that speak to Sluice. PostgreSQL keeps such a
// setting like any name with a dot in it, and nothing of its own looks at it.
const ours = "sluice."

// said is what a SET of one of our settings says, in the case it was written in.
func said(st *query.Statement) (name, value string, ok bool) {
	name, found := strings.CutPrefix(st.SetName, ours)
	if st.Kind != query.Set || !found {
		return "", "", false
	}
	value = st.SetTo // lower case; what stands in quotes is found again below
	first, last := strings.IndexByte(st.SQL, '\''), strings.LastIndexByte(st.SQL, '\'')
	if first >= 0 && last > first {
		if quoted := strings.ReplaceAll(st.SQL[first+1:last], "''", "'"); strings.EqualFold(quoted, value) {
			value = quoted
		}
	}
	return name, value, true
}

// hear takes note of what a SET tells Sluice.
func (s *session) hear(st *query.Statement) {
	if name, value, ok := said(st); ok {
		s.told(name, value)
	}
}

// told takes note of one of our settings, of a SET or of the message that began the session.
func (s *session) told(name, value string) {
	switch name {
	case "reason":
		s.why = strings.ToValidUTF8(value[:min(len(value), maxWhy)], "")
	case "reads":
		s.reads = s.reads || value == "only" // there is no way back within the session
	case "masks":
		s.tells.Store(value == "tell")
	}
}
