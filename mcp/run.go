package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/runbook"
	"github.com/sluicehq/sluice/wire/postgres"
)

// outcome is how a statement ended: an error, or what it gave.
type outcome struct {
	err       error
	command   string // "UPDATE 1"
	columns   []column
	rows      [][]json.RawMessage
	truncated bool // there are more rows
	cut       bool // some values are longer than is shown
	hidden    []hiding
	masked    int64    // values hidden
	remarks   []string // of the gateway
	notices   []said   // of the database

	run   *runbook.State // of a runbook; nil if it did not begin
	steps []*stepRows    // what its steps returned
}

type column struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
}

// hiding is a column of a result that was hidden, and why.
type hiding struct {
	Column string `json:"column"`
	Label  string `json:"label"` // what kind of personal data it holds
}

const (
	maxCell    = 16 << 10 // of one value is shown
	maxNotices = 20       // of one statement are kept

	// freshenEvery is how often it is looked, while a statement runs or waits, whether
	// the agent's certificate ends soon.
	freshenEvery = 20 * time.Second
	maxReason    = 1000 // of a reason fits into the message that begins a session
)

// run runs one statement in a session of its own, which is gone when it returns.
func (s *Server) run(ctx context.Context, st *statement) outcome {
	if st.book != nil {
		return s.runBook(ctx, st)
	}
	ctx, cancel := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer cancel()
	keeper.Go(func() { s.freshen(ctx) })
	cfg, err := s.cfg.Gateway.SessionConfig(st.connection, st.database, "sluice mcp")
	if err != nil {
		return outcome{err: err}
	}
	r := &runner{st: st, cancel: cancel, types: pgtype.NewMap()}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { r.notice((*pgconn.PgError)(n)) }
	cfg.RuntimeParams["sluice.masks"] = "tell"
	cfg.RuntimeParams["statement_timeout"] = strconv.FormatInt(s.cfg.Timeout.Milliseconds(), 10)
	if why := plain(st.reason); why != "" {
		cfg.RuntimeParams["sluice.reason"] = strings.ToValidUTF8(why[:min(len(why), maxReason)], "")
	}
	if !st.writes {
		cfg.RuntimeParams["sluice.reads"] = "only"
		cfg.RuntimeParams["default_transaction_read_only"] = "on"
	}
	db, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return outcome{err: err}
	}
	defer db.Close(context.WithoutCancel(ctx)) // says goodbye even when it was cancelled
	if st.request != "" {
		r.script(ctx, db)
	} else {
		r.one(ctx, db)
	}
	return r.end(ctx)
}

// freshen keeps the agent's certificate, and so its sessions, from ending while a
// statement waits for people.
func (s *Server) freshen(ctx context.Context) {
	tick := time.NewTicker(freshenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.cfg.Gateway.Freshen(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("get another certificate", "error", err)
			}
		}
	}
}

// runner is one statement on its way. Notices arrive on the goroutine that reads.
type runner struct {
	st     *statement
	cancel context.CancelFunc
	types  *pgtype.Map
	out    outcome
	size   int    // bytes of rows that are kept
	masks  []bool // by column: a value of it is a mask
}

// one sends the statement by the extended protocol, in which there can be no second one
// in its text, and its values beside the text.
func (r *runner) one(ctx context.Context, db *pgconn.PgConn) {
	params := make([][]byte, len(r.st.params))
	for i, p := range r.st.params {
		if p != nil {
			params[i] = []byte(*p)
		}
	}
	r.read(db.ExecParams(ctx, r.st.sql, params, nil, nil, nil))
}

// script sends what was approved ahead of time, as it was approved.
func (r *runner) script(ctx context.Context, db *pgconn.PgConn) {
	if r.out.err = db.Exec(ctx, "set sluice.request = '"+strings.ReplaceAll(r.st.request, "'", "")+"'").Close(); r.out.err != nil {
		return
	}
	results := db.Exec(ctx, r.st.sql)
	for results.NextResult() {
		r.out.columns, r.out.rows, r.size = nil, nil, 0 // the last result is told
		r.read(results.ResultReader())
	}
	if err := results.Close(); err != nil {
		r.out.err = err
	}
}

// read keeps rows until there are enough. A statement that only reads is then cancelled;
// one that writes is not, and its further rows are passed over.
func (r *runner) read(res *pgconn.ResultReader) {
	fields := slices.Clone(res.FieldDescriptions())
	for i, f := range fields {
		fields[i].Name = strings.Clone(f.Name)
		c := column{Name: fields[i].Name}
		if t, ok := r.types.TypeForOID(f.DataTypeOID); ok {
			c.Type = t.Name
		}
		r.out.columns = append(r.out.columns, c)
	}
	r.masks = make([]bool, len(fields))
	for res.NextRow() {
		if r.out.truncated {
			continue
		}
		row, size := r.row(fields, res.Values())
		if len(r.out.rows) >= r.st.rows || r.size+size > r.st.bytes && len(r.out.rows) > 0 {
			r.out.truncated = true
			if !r.st.writes {
				r.cancel()
			}
			continue
		}
		r.out.rows, r.size = append(r.out.rows, row), r.size+size
	}
	tag, err := res.Close()
	r.out.command = tag.String()
	if err != nil {
		r.out.err = err
	}
}

func (r *runner) row(fields []pgconn.FieldDescription, values [][]byte) (row []json.RawMessage, size int) {
	most := min(maxCell, r.st.bytes)
	for i, v := range values {
		cell := client.JSONValue(fields[i].DataTypeOID, v)
		if len(v) > most {
			cell, r.out.cut = client.JSONText(strings.ToValidUTF8(string(v[:most]), "")+"…"), true
		}
		r.masks[i] = r.masks[i] || mask.IsMask(string(v))
		row, size = append(row, cell), size+len(cell)
	}
	return row, size
}

// end says how it ended, after all was read.
func (r *runner) end(ctx context.Context) outcome {
	r.st.held(nil)
	if r.out.truncated && !r.st.writes {
		r.out.err = nil // it was cancelled because enough was read
	}
	if r.out.err != nil {
		if ctx.Err() != nil {
			r.out.err = ctx.Err()
		}
		r.out.columns, r.out.rows, r.out.truncated = nil, nil, false // of what did not succeed
	}
	r.out.hidden = alsoMasked(r.out.hidden, r.out.columns, r.masks)
	return r.out
}

// alsoMasked adds the columns with masks in them that the gateway did not speak of.
func alsoMasked(hidden []hiding, columns []column, masks []bool) []hiding {
	for i, c := range columns {
		known := slices.ContainsFunc(hidden, func(h hiding) bool { return h.Column == strings.Join(strings.Fields(c.Name), " ") })
		if masks[i] && !known {
			hidden = append(hidden, hiding{Column: c.Name, Label: "found in its values"})
		}
	}
	return hidden
}

// What the gateway says beside an answer.
var (
	saysWaiting = regexp.MustCompile(`^waiting for approval (\S+) by (.+)$`)
	saysMasks   = regexp.MustCompile(`^values hidden: (\d+)$`)
)

// notice hears what is said while the statement runs. Only what bears the gateway's mark
// is the gateway's: code in the database may say the same words.
func (r *runner) notice(n *pgconn.PgError) {
	if n.Routine != postgres.Mark {
		if len(r.out.notices) < maxNotices {
			r.out.notices = append(r.out.notices, said{SQLState: n.Code, Message: n.Message, Detail: n.Detail, Hint: n.Hint})
		}
		return
	}
	if m := saysWaiting.FindStringSubmatch(n.Message); m != nil {
		r.st.held(&waiting{Approval: plain(m[1]), Needs: plain(m[2]), Rule: plain(strings.TrimPrefix(n.Detail, "rule "))})
		return
	}
	if strings.HasPrefix(n.Message, "still waiting for approval ") {
		return // it was said in full
	}
	r.st.held(nil)
	if m := saysMasks.FindStringSubmatch(n.Message); m != nil {
		if count, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			r.out.masked += count
		}
		for line := range strings.Lines(n.Detail) {
			if label, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok {
				r.out.hidden = append(r.out.hidden, hiding{Column: name, Label: label})
			}
		}
		return
	}
	if len(r.out.remarks) < maxNotices {
		r.out.remarks = append(r.out.remarks, plain(n.Message))
	}
	if n.Detail != "" && len(r.out.notices) < maxNotices {
		r.out.notices = append(r.out.notices, said{SQLState: n.Code, Message: n.Detail}) // what people said, perhaps
	}
}

// ours reports whether an error is the gateway's own.
func ours(err *pgconn.PgError) bool { return err.Routine == postgres.Mark }

// pgError finds what the gateway or the database said, without the addresses that the
// driver puts around it.
func pgError(err error) *pgconn.PgError {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg
	}
	return nil
}
