package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/approval"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// Limits of a preview. It holds the locks of the write it tries for as long as it
// runs, so that is short.
const (
	previewTime      = 2 * time.Second
	previewLock      = 200 * time.Millisecond
	previewRows      = 5 // of a sample, before and after
	previewCellChars = 200

	heldParams = 64 << 10 // bytes of parameters that are kept while a statement waits
)

// held is what a look and a preview need of a statement that waits. It shares nothing
// with the session that changes.
type held struct {
	s         *session
	x         *run
	params    []wire.Param
	unplanned string          // why it cannot be planned
	problem   string          // why there can be no preview
	ctx       context.Context // of the wait
	looks     *investigation
}

// hang keeps what looks and previews need, for as long as the request waits.
func (s *session) hang(ctx context.Context, req *wire.Request, j *job) *held {
	h := &held{s: s, ctx: ctx}
	h.x, h.unplanned = s.plannable(j)
	size := 0
	for _, p := range req.Params {
		size += len(p.Value)
	}
	if h.unplanned == "" && size > heldParams {
		h.unplanned = "its parameters are too large"
	}
	switch {
	case h.unplanned != "":
		h.problem = h.unplanned
	case h.x.means.Kind == query.Select:
		h.problem = "it is not a write"
	}
	if h.unplanned == "" {
		for _, p := range req.Params {
			p.Value = slices.Clone(p.Value)
			h.params = append(h.params, p)
		}
	}
	h.looks = &investigation{held: h, caller: s.owner(), shape: j.runs[0].text.Fingerprint, looked: make(chan struct{})}
	return h
}

// Preview runs a held write as it would run now, in a transaction of the gateway's own
// that is always rolled back, and shows who decides how many rows it changes and some
// of them. Only those who may answer the ask may have it; it is recorded first. It is
// refused where rolling back would not undo all of it.
func (g *Gateway) Preview(ctx context.Context, who identity.Identity, id string) (api.Preview, error) {
	var ask approval.Ask
	for _, o := range g.desk.List() {
		if o.Ask.ID == id {
			ask = o.Ask
		}
	}
	kept, ok := ask.Data.(*held)
	if ask.ID == "" || !ok {
		return api.Preview{}, answerError(id, approval.ErrUnknown)
	}
	err := ask.MayAnswer(who, g.cfg.Now())
	ev := audit.Event{
		Kind: audit.Admin, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Connection: ask.Connection,
		Session: ask.Session, Rule: ask.Rule, SQLHash: ask.Hash, Detail: "preview of ask " + id, Outcome: "ok",
	}
	if err != nil {
		ev.Outcome, ev.Error = "refused", err.Error()
	}
	if rerr := g.note(ev); rerr != nil {
		return api.Preview{}, rerr
	}
	if err != nil {
		return api.Preview{}, answerError(id, err)
	}
	return kept.preview(ctx, who, id)
}

// noPreview says why there is none.
func noPreview(id, why string) error {
	return &api.Error{Sentence: "there is no preview of " + id + ": " + why, Hint: "decide by the statement, its estimate and its tables", Code: api.CodeRefused}
}

func (h *held) preview(ctx context.Context, who identity.Identity, id string) (api.Preview, error) {
	if h.problem != "" {
		return api.Preview{}, noPreview(id, h.problem)
	}
	if why := h.sideEffects(); why != "" {
		return api.Preview{}, noPreview(id, why)
	}
	alone := h.s.alone(h.x)
	target, ok := mainTable(alone)
	if !ok || len(alone.Targets) != 1 || h.x.means.Changes != 1 {
		return api.Preview{}, noPreview(id, "it changes more than one table, or one that is not known")
	}
	// It ends with the wait: what was answered is about to run by itself.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(h.ctx, stop)()
	p := &previewing{held: h, target: target, viewer: newViewer(h.s, who, target)}
	err := h.s.base.aside.ask(ctx, h.s.base, func(conn *pgx.Conn) error { return p.run(ctx, conn) })
	var no *unsafe
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &no):
		return api.Preview{}, noPreview(id, no.why)
	case errors.As(err, &pg):
		p.out.Error = sqlProblem(err)
	case err != nil:
		return api.Preview{}, noPreview(id, sqlProblem(err))
	}
	return p.out, nil
}

// unsafe is a reason not to try.
type unsafe struct{ why string }

func (u *unsafe) Error() string { return u.why }

// lasting are parts of names of built-in functions whose effect outlives a rollback, or
// reaches others before it.
var lasting = []string{"nextval", "setval", "notify", "lo_", "lowrite", "advisory", "pg_sleep", "set_config", "dblink", "pg_read", "pg_ls", "pg_stat", "pg_log", "pg_current_logfile", "query_to", "cursor_to", "pg_logical", "pg_switch", "pg_create", "pg_drop", "pg_replication", "pg_cancel", "pg_terminate", "pg_reload", "pg_rotate", "txid", "pg_export"}

// sideEffects names what the statement itself does that cannot be rolled back.
func (h *held) sideEffects() string {
	k := h.s.base.current.Load()
	for _, name := range called(h.x.text) {
		schema, bare, qualified := strings.Cut(name, ".")
		if !qualified {
			schema, bare = "", name
		}
		if slices.ContainsFunc(lasting, func(l string) bool { return strings.Contains(bare, l) }) {
			return "what " + name + " does is not undone by a rollback"
		}
		if k == nil || k.Snapshot == nil || !k.Harmless(schema, bare) {
			return "what " + name + " does is not known"
		}
	}
	return ""
}

// previewing is one preview under way.
type previewing struct {
	*held
	target  query.Ref
	viewer  viewer
	key     []string // columns of the primary key
	strange string   // a trigger that may put what is hidden into columns that are not
	out     api.Preview
}

func (p *previewing) table() string {
	return pgx.Identifier{p.target.Schema, p.target.Table}.Sanitize()
}

func (p *previewing) run(ctx context.Context, conn *pgx.Conn) error {
	var after *pgconn.Result
	err := bounded(ctx, conn, previewTime, previewLock, true, func() error {
		if err := p.safe(ctx, conn); err != nil {
			return err
		}
		var err error
		after, err = p.try(ctx, conn)
		return err
	})
	if err != nil || after == nil {
		return err
	}
	rows := p.viewer.show(after)
	if p.x.means.Kind == query.Delete {
		p.out.Before = rows
		return nil
	}
	if p.strange != "" {
		p.out.Notes = append(p.out.Notes, "rows as they would be are not shown: trigger "+p.strange+" may put into a column what is hidden in another")
	} else {
		p.out.After = rows
	}
	if p.x.means.Kind != query.Update || len(p.key) == 0 {
		return nil
	}
	// The rows as they are, now that the change is undone.
	return bounded(ctx, conn, previewTime, previewLock, false, func() error {
		before, err := p.before(ctx, conn, after)
		if err == nil {
			p.out.Before = p.viewer.show(before)
		}
		return err
	})
}

// try runs the statement. With a sample if it can be had: a RETURNING that is added
// must leave the statement what it was, by the grammar.
func (p *previewing) try(ctx context.Context, conn *pgx.Conn) (*pgconn.Result, error) {
	req := &wire.Request{Params: p.params}
	send := func(sql string) (*pgconn.Result, error) {
		res := conn.PgConn().ExecParams(ctx, sql, values(p.params), oids(req.Params), formats(p.params), nil).Read()
		return res, res.Err
	}
	sampled, ok := p.withSample()
	if !ok {
		res, err := send(p.x.text.SQL)
		if err == nil {
			p.out.Rows = res.CommandTag.RowsAffected()
		}
		return nil, err
	}
	res, err := send(sampled)
	if err != nil || len(res.Rows) == 0 {
		return nil, err
	}
	last := len(res.FieldDescriptions) - 1
	if _, err := fmt.Sscan(string(res.Rows[0][last]), &p.out.Rows); err != nil {
		return nil, err
	}
	res.FieldDescriptions = res.FieldDescriptions[:last]
	for i := range res.Rows {
		res.Rows[i] = res.Rows[i][:last]
	}
	return res, nil
}

// withSample is the statement inside of one that counts its rows and keeps a few. A
// write in WITH runs to its end whatever is read of it.
func (p *previewing) withSample() (sql string, ok bool) {
	st := p.x.means
	if st.Kind == query.Merge || len(st.Returning) > 0 {
		return "", false
	}
	returning := p.x.text.SQL + "\nreturning *"
	list := query.Analyze(returning, p.s.base.current.Load().paths[0])
	if len(list) != 1 || list[0].Kind != st.Kind || len(list[0].Returning) == 0 || !slices.Equal(list[0].Targets, st.Targets) {
		return "", false
	}
	sql = fmt.Sprintf("with sluice_preview as (%s\n) select *, count(*) over () from sluice_preview limit %d", returning, previewRows)
	return sql, len(query.Analyze(sql, nil)) == 1 && query.Analyze(sql, nil)[0].Kind == query.Select
}

// before reads the rows of a sample again, by their key.
func (p *previewing) before(ctx context.Context, conn *pgx.Conn, after *pgconn.Result) (*pgconn.Result, error) {
	var at []int
	var names []string
	for _, k := range p.key {
		i := slices.IndexFunc(after.FieldDescriptions, func(f pgconn.FieldDescription) bool { return f.Name == k })
		if i < 0 {
			return &pgconn.Result{}, nil
		}
		at, names = append(at, i), append(names, pgx.Identifier{k}.Sanitize())
	}
	var rows, args []string
	var vals [][]byte
	for _, r := range after.Rows {
		args = args[:0]
		for j, i := range at {
			vals = append(vals, r[i])
			args = append(args, fmt.Sprintf("%s = $%d", names[j], len(vals)))
		}
		rows = append(rows, "("+strings.Join(args, " and ")+")")
	}
	res := conn.PgConn().ExecParams(ctx, "select * from only "+p.table()+" where "+strings.Join(rows, " or ")+" order by "+strings.Join(names, ", "), vals, nil, nil, nil).Read()
	return res, res.Err
}

// viewer shows rows of one table as the policy lets who decides see them.
type viewer struct {
	columns map[string]mask.Column // by name; what is not here is hidden
}

// newViewer judges a plain read of the table by who looks, and besides lets through no
// more than the sources of what a statement writes let.
func newViewer(held *session, who identity.Identity, target query.Ref) viewer {
	v := viewer{columns: map[string]mask.Column{}}
	k := held.base.current.Load()
	found := k.Lookup(target.Schema, target.Table)
	if len(found) != 1 {
		return v
	}
	rel := found[0]
	var names []string
	for _, c := range rel.Columns {
		names = append(names, pgx.Identifier{c}.Sanitize())
	}
	s := &session{Caller: Caller{Who: who, Connection: held.Connection}, g: held.g, base: held.base}
	s.follow()
	j, _ := s.explain("select "+strings.Join(names, ", ")+" from "+pgx.Identifier{target.Schema, target.Table}.Sanitize(), fresh(held.base, k))
	if len(j.runs) != 1 {
		return v
	}
	told := make([]wire.Column, len(rel.Columns))
	for i, name := range rel.Columns {
		col, _ := k.Column(target.Schema, target.Table, name)
		told[i] = wire.Column{Name: name, TypeOID: col.TypeOID}
	}
	for i, c := range j.runs[0].columns(told, k.Snapshot) {
		v.columns[told[i].Name] = c
	}
	return v
}

// unclean takes the columns that a statement writes from what is not known to be clean
// out of the clear: they hold by then what another column held.
func (v viewer) unclean(x *run, known view) {
	for _, c := range x.means.Output {
		col, ok := v.columns[c.Name]
		if !ok || col.State != mask.Clean {
			continue
		}
		clean := c.Known
		for _, l := range known.labels(c) {
			clean = clean && l.Clean
		}
		if !clean {
			v.columns[c.Name] = mask.Resolve(nil, false, col.TypeOID, false, c.Name)
		}
	}
}

// show masks rows. A value of a column that is not the table's is hidden whole.
func (v viewer) show(res *pgconn.Result) *api.PreviewRows {
	out := &api.PreviewRows{Columns: []string{}, Rows: [][]*string{}}
	var cols []mask.Column
	var at []int
	for i, f := range res.FieldDescriptions {
		if c, ok := v.columns[f.Name]; ok && !slices.Contains(out.Columns, f.Name) {
			c.TypeOID, c.Binary = f.DataTypeOID, false
			cols, at, out.Columns = append(cols, c), append(at, i), append(out.Columns, f.Name)
		}
	}
	plan := mask.NewPlan(cols)
	for _, r := range res.Rows {
		row := make([][]byte, len(at))
		for j, i := range at {
			row[j] = r[i]
		}
		plan.Apply(row)
		cells := make([]*string, len(row))
		for j, b := range row {
			if b != nil {
				text := cutChars(string(b), previewCellChars)
				cells[j] = &text
			}
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}

func cutChars(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
