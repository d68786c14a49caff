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
// them. It ends with ctx, and nothing of it delays the answer.
func (s *session) investigate(ctx context.Context, req *wire.Request, j *job, id string) {
	looks := approval.Looks{Done: true, Whole: -1}
	if x, problem := s.plannable(j); problem != "" {
		looks.Notes = append(looks.Notes, "no estimate: "+problem)
	} else if err := s.base.aside.ask(ctx, s.base, func(conn *pgx.Conn) error {
		return bounded(ctx, conn, planTime, planLock, false, func() error { return s.plan(ctx, conn, req, x, &looks) })
	}); err != nil {
		looks.Notes = append(looks.Notes, "no estimate: "+sqlProblem(err))
	}
	s.history(ctx, j, &looks)
	if ctx.Err() != nil {
		return
	}
	s.g.desk.Learn(id, func(ev approval.Evidence) approval.Evidence {
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
func (s *session) plan(ctx context.Context, conn *pgx.Conn, req *wire.Request, x *run, looks *approval.Looks) error {
	res := conn.PgConn().ExecParams(ctx, "explain (format json) "+x.text.SQL, values(req.Params), oids(req), formats(req.Params), nil).Read()
	if res.Err != nil {
		return res.Err
	}
	if len(res.Rows) != 1 || len(res.Rows[0]) != 1 {
		return errors.New("the plan is no plan")
	}
	rows, err := plannedRows(res.Rows[0][0])
	if err != nil {
		return err
	}
	looks.Planned, looks.Rows = true, rows
	return s.locks(ctx, conn, x, looks)
}

func (s *session) locks(ctx context.Context, conn *pgx.Conn, x *run, looks *approval.Looks) error {
	var waiting int
	// Who blocks whom is asked only of those that wait: it stops the whole lock table.
	const waits = `with w as materialized (select distinct pid from pg_catalog.pg_locks where not granted)
select count(*) from w where $1 = any(pg_catalog.pg_blocking_pids(pid))`
	if err := conn.QueryRow(ctx, waits, int32(s.server.PID())).Scan(&waiting); err != nil {
		return err
	}
	if waiting > 0 {
		looks.Locks = append(looks.Locks, fmt.Sprintf("%d others wait for locks that this session holds", waiting))
	}
	table, ok := mainTable(s.alone(x))
	if !ok {
		return nil
	}
	name := pgx.Identifier{table.Schema, table.Table}.Sanitize()
	looks.Table = table.String()
	if err := conn.QueryRow(ctx, `select coalesce((select reltuples from pg_catalog.pg_class where oid = pg_catalog.to_regclass($1)), -1)::bigint`, name).Scan(&looks.Whole); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, `
select l.mode || ' on ' || $2 || ' for ' || coalesce(extract(epoch from pg_catalog.now() - a.xact_start)::bigint, 0) || 's by ' || coalesce(nullif(a.application_name, ''), 'process ' || l.pid)
from pg_catalog.pg_locks l left join lateral pg_catalog.pg_stat_get_activity(l.pid) a on true
where l.relation = pg_catalog.to_regclass($1) and l.granted and l.pid <> pg_catalog.pg_backend_pid() and l.pid <> $3 and l.mode <> 'AccessShareLock'
order by a.xact_start limit $4`, name, looks.Table, int32(s.server.PID()), maxLocks)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	looks.Locks = append(looks.Locks, found...)
	return err
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
func oids(req *wire.Request) []uint32 {
	out := make([]uint32, len(req.Params))
	for i, p := range req.Params {
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
