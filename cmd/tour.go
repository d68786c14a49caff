package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
)

// stepTime bounds one step of the tour; each takes well under a second.
const stepTime = 30 * time.Second

// tour shows what Sluice does, each step checked against the database itself. It
// fails at the first step that is not as it says.
func (a *app) tour(ctx context.Context, w *demoWorld) error {
	t := &tourist{app: a, w: w}
	for i, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Ada reads customers. Personal data comes back masked; nobody configured that.", t.read},
		{"Ada drops a table. It is refused, and the answer says what to do instead.", t.drop},
		{"Ada changes an order. It waits; Grace looks at it and approves; then it runs.", t.update},
		{"Ada erases a customer's data by a runbook. Grace approves the whole run at once.", t.runbook},
		{"Ada starts something long and presses Ctrl-C.", t.interrupt},
		{"What would a statement touch? Ask without running it.", t.explain},
		{"Raw data becomes features, and those a model. Where did the model come from?", t.lineage},
		{"An agent acts for Ada: refused, and then allowed by approval.", t.agent},
		{"What happened here? Grace asks the record, and has it checked.", t.record},
	} {
		fmt.Fprintf(a.out, "\n%s %s\n", a.paint("1", fmt.Sprintf("%d.", i+1)), step.title)
		stepping, cancel := context.WithTimeout(ctx, stepTime)
		err := step.do(stepping)
		cancel()
		if err != nil {
			return fmt.Errorf("step %d of the tour: %w", i+1, err)
		}
	}
	fmt.Fprintf(a.out, "\nEvery step did what it says. Everything is removed now.\n")
	return nil
}

type tourist struct {
	*app
	w *demoWorld
}

// connect opens Ada's session, the way psql would: through the local port.
func (t *tourist) connect(ctx context.Context, notices func(*pgconn.Notice)) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(t.w.url)
	if err != nil {
		return nil, err
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices(n) }
	return pgx.ConnectConfig(ctx, cfg)
}

func (t *tourist) say(sql string) { fmt.Fprintf(t.out, "   orders=> %s;\n", sql) }

func (t *tourist) answer(format string, args ...any) {
	for line := range strings.SplitSeq(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n") {
		fmt.Fprintln(t.out, "   "+line)
	}
}

func (t *tourist) why(format string, args ...any) {
	fmt.Fprintln(t.out, "   "+t.paint("2", "→ "+fmt.Sprintf(format, args...)))
}

// truth asks the database itself, past the gateway.
func (t *tourist) truth(ctx context.Context, sql string) (string, error) {
	conn, err := pgx.Connect(ctx, t.w.cluster.DSN("shop"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var s string
	err = conn.QueryRow(ctx, sql).Scan(&s)
	return s, err
}

func (t *tourist) read(ctx context.Context) error {
	const sql = "select id, first_name, email, phone, date_of_birth, country, loyalty_tier from customers order by id limit 3"
	conn, err := t.connect(ctx, func(*pgconn.Notice) {})
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	t.say(sql)
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return err
	}
	shown := resultTable(results[0])
	var text strings.Builder
	if err := shown.print(&text); err != nil {
		return err
	}
	t.answer("%s", text.String())
	for _, column := range []string{"email", "phone", "date_of_birth::text"} {
		for id := range 3 {
			secret, err := t.truth(ctx, fmt.Sprintf("select %s from customers order by id offset %d limit 1", column, id))
			if err != nil {
				return err
			}
			if strings.Contains(text.String(), secret) {
				return fmt.Errorf("%s of a customer came through in clear", column)
			}
		}
	}
	if len(shown.rows) != 3 {
		return fmt.Errorf("%d rows came back, not 3", len(shown.rows))
	}
	t.why("found by name and content when the gateway first saw this database; the other columns pass untouched")
	return nil
}

func resultTable(r *pgconn.Result) table {
	var shown table
	for _, f := range r.FieldDescriptions {
		shown.head = append(shown.head, f.Name)
	}
	for _, row := range r.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = string(v)
		}
		shown.rows = append(shown.rows, cells)
	}
	return shown
}

func (t *tourist) drop(ctx context.Context) error {
	const sql = "/* tidy up */ DROP  TABLE customers CASCADE"
	conn, err := t.connect(ctx, func(*pgconn.Notice) {})
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	t.say(sql)
	_, err = conn.Exec(ctx, sql)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "42501" {
		return fmt.Errorf("it was not refused: %w", err)
	}
	t.answer("%s:  %s\nDETAIL:  %s", refused.Severity, refused.Message, refused.Detail)
	if n, err := t.truth(ctx, "select count(*)::text from customers"); err != nil || n == "0" {
		return fmt.Errorf("the customers are gone: %w", err)
	}
	t.why("decided on the syntax tree, so spelling it otherwise makes no difference; the session goes on")
	return nil
}

func (t *tourist) update(ctx context.Context) error {
	const sql = "update orders set status = 'cancelled' where id = 42"
	notices := make(chan *pgconn.Notice, 8) // more than the two that come
	conn, err := t.connect(ctx, func(n *pgconn.Notice) { notices <- n })
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	t.say(sql)
	type outcome struct {
		tag pgconn.CommandTag
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		tag, err := conn.Exec(ctx, sql)
		done <- outcome{tag, err}
	}()
	select {
	case n := <-notices:
		t.answer("%s:  %s\nDETAIL:  %s\nHINT:  %s", n.Severity, n.Message, n.Detail, n.Hint)
	case o := <-done:
		return fmt.Errorf("it did not wait: %v %w", o.tag, o.err)
	}
	if err := t.approve(ctx, sql); err != nil {
		return err
	}
	o := <-done
	if o.err != nil {
		return o.err
	}
	n := <-notices
	t.answer("%s:  %s\n%s", n.Severity, n.Message, o.tag)
	if status, err := t.truth(ctx, "select status::text from orders where id = 42"); err != nil || status != "cancelled" {
		return fmt.Errorf("the order is %q: %w", status, err)
	}
	t.why("the approval was for this very statement, in this session, once")
	return nil
}

// approve plays both: Ada tries to approve her own statement and may not; Grace can.
func (t *tourist) approve(ctx context.Context, sql string) error {
	var asks []api.Ask
	if err := t.w.grace.Call(ctx, http.MethodGet, api.AsksPath, nil, &asks); err != nil {
		return err
	}
	if len(asks) != 1 || asks[0].SQL != sql {
		return fmt.Errorf("grace sees %d asks, not the one", len(asks))
	}
	path := askPath(asks[0].ID)
	if err := t.w.ada.Call(ctx, http.MethodPost, path, api.AskDecision{Grant: true, Seal: asks[0].Seal}, nil); err == nil {
		return errors.New("ada approved her own statement")
	}
	fmt.Fprintf(t.out, "   ada$ sluice approvals approve %s      %s\n", asks[0].ID, t.paint("31", "refused: nobody answers their own ask"))
	if err := t.w.grace.Call(ctx, http.MethodPost, path, api.AskDecision{Grant: true, Reason: "the customer called", Seal: asks[0].Seal}, nil); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "   grace$ sluice approvals approve %s    %s\n", asks[0].ID, t.paint("32", "approved"))
	return nil
}

// asleep is as long as a statement may sleep in production without asking anybody.
const asleep = "select pg_sleep(4)"

func (t *tourist) interrupt(ctx context.Context) error {
	const sql = asleep
	conn, err := t.connect(ctx, func(*pgconn.Notice) {})
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	t.say(sql)
	done := make(chan error, 1)
	began := t.now()
	go func() {
		_, err := conn.Exec(ctx, sql)
		done <- err
	}()
	if err := t.untilSleeping(ctx); err != nil {
		return err
	}
	t.answer("^C")
	pressed := t.now()
	if err := conn.PgConn().CancelRequest(ctx); err != nil {
		return err
	}
	err = <-done
	var stopped *pgconn.PgError
	if !errors.As(err, &stopped) || stopped.Code != "57014" {
		return fmt.Errorf("it was not cancelled: %w", err)
	}
	t.answer("%s:  %s", stopped.Severity, stopped.Message)
	t.why("ended %d ms after Ctrl-C and %d ms after it began; the cancel key is the gateway's own",
		t.now().Sub(pressed).Milliseconds(), t.now().Sub(began).Milliseconds())
	return nil
}

// untilSleeping waits until the database itself says that the statement runs.
func (t *tourist) untilSleeping(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := t.truth(ctx, "select count(*)::text from pg_stat_activity where state = 'active' and query = '"+asleep+"'")
		if err != nil || n != "0" {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (t *tourist) explain(ctx context.Context) error {
	const sql = "select name, spent_cents from customer_overview where country = 'DE'"
	var list []gateway.Explained
	if err := t.w.ada.Call(ctx, http.MethodPost, api.ExplainPath, api.ExplainRequest{Connection: "orders", SQL: sql}, &list); err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("%d statements were explained, not the one", len(list))
	}
	fmt.Fprintf(t.out, "   ada$ sluice explain orders -c \"%s\"\n", sql)
	known := 0
	for _, c := range list[0].Columns {
		t.answer("%-16s %s of %s", c.Name, c.How, strings.Join(c.Sources, ", "))
		if c.Known && len(c.Sources) > 0 {
			known++
		}
	}
	if known != 2 {
		return fmt.Errorf("the sources of %d columns are known, not of 2", known)
	}
	for _, m := range list[0].Masks {
		t.answer("%-16s would be masked (%s)", m.Column, m.Label)
	}
	t.why("effect: %s; the columns were followed through the view to the tables", list[0].Effect)
	return nil
}

func (t *tourist) record(ctx context.Context) error {
	var res api.AuditResult
	q := api.AuditQuery{Who: ada.Email, Kind: audit.Decided, Limit: 50}
	if err := t.w.grace.Call(ctx, http.MethodPost, api.AuditQueryPath, q, &res); err != nil {
		return err
	}
	fmt.Fprintln(t.out, "   grace$ sluice audit query --who "+ada.Email+" --kind decided")
	shown := table{head: []string{"TIME", "EFFECT", "RULE", "STATEMENT"}}
	effects := map[string]int{}
	slices.Reverse(res.Events)
	for _, ev := range runLines(res.Events) {
		effects[ev.Effect]++
		shown.rows = append(shown.rows, []string{ev.Time.Local().Format("15:04:05.000"), ev.Effect, ev.Rule, short(ev.SQL, 60)})
	}
	var text strings.Builder
	if err := shown.print(&text); err != nil {
		return err
	}
	t.answer("%s", text.String())
	if effects["allow"] < 2 || effects["deny"] != 2 || effects["hold"] != 3 {
		return fmt.Errorf("the record says %v, not what happened", effects)
	}
	var check api.VerifyResult
	if err := t.w.grace.Call(ctx, http.MethodPost, api.AuditVerifyPath, nil, &check); err != nil {
		return err
	}
	if !check.OK {
		return fmt.Errorf("the record does not verify: %v", check.Problems)
	}
	fmt.Fprintln(t.out, "   grace$ sluice audit verify")
	t.answer("ok: %d entries, %d under a signed checkpoint; root %s", check.Entries, check.Sealed, check.Root)
	t.why("one changed byte anywhere in it would be found, and its entry named")
	return nil
}
