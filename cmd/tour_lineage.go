package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/lineage"
)

// What the tour makes a model of, and its name.
const (
	visits   = "1\t40\n1\t75\n2\t310\n3\t5\n42\t120\n"
	features = "create table lab.features as select c.country, count(o.id) as orders, sum(v.seconds) as seconds from customers c join orders o on o.customer_id = c.id join lab.visits v on v.customer_id = c.id group by c.country"
	churn    = "model:churn@v1"
)

// lineage loads raw data, makes a table of features of it, trains a model in a run of a
// job, and asks where the model came from.
func (t *tourist) lineage(ctx context.Context) error {
	for _, step := range []func(context.Context) error{t.ingest, t.prepare, t.train, t.upstream} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	t.why("none of it was written down by anybody: it is what ran, and the file proves it without the gateway")
	return nil
}

// session opens one as gw's caller, within a run if there is one.
func (t *tourist) session(ctx context.Context, gw *client.Gateway, run string) (*pgconn.PgConn, error) {
	cfg, err := gw.SessionConfig("orders", "", "sluice demo")
	if err != nil {
		return nil, err
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return gw.StreamOf(ctx, "orders", "", run) }
	return pgconn.ConnectConfig(ctx, cfg)
}

func (t *tourist) ingest(ctx context.Context) error {
	const sql = "copy lab.visits from stdin"
	conn, err := t.session(ctx, t.w.grace, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	tag, err := conn.CopyFrom(ctx, strings.NewReader(visits), sql)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "   grace orders=> %s < visits.tsv      %s\n", sql, tag)
	return nil
}

// prepare makes the features, which is a change of production that Grace approves.
func (t *tourist) prepare(ctx context.Context) error {
	conn, err := t.session(ctx, t.w.ada, "")
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	t.say(features)
	done := make(chan error, 1) // one result, read below
	go func() {
		_, err := conn.Exec(ctx, features).ReadAll()
		done <- err
	}()
	if err := t.approveNext(ctx, "the features are as agreed", done); err != nil {
		return err
	}
	return <-done
}

// approveNext waits for the one ask there is to come, and plays Grace. What ends before
// it was asked for fails.
func (t *tourist) approveNext(ctx context.Context, reason string, done <-chan error) error {
	for {
		var asks []api.Ask
		if err := t.w.grace.Call(ctx, http.MethodGet, api.AsksPath, nil, &asks); err != nil {
			return err
		}
		if len(asks) > 0 {
			if err := t.w.grace.Call(ctx, http.MethodPost, askPath(asks[0].ID), api.AskDecision{Grant: true, Reason: reason, Seal: asks[0].Seal}, nil); err != nil {
				return err
			}
			fmt.Fprintf(t.out, "   grace$ sluice approvals approve %s    %s\n", asks[0].ID, t.paint(green, "approved"))
			return nil
		}
		select {
		case err := <-done:
			return fmt.Errorf("it did not wait for approval: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		default:
			if err := pause(ctx, pollTime); err != nil {
				return err
			}
		}
	}
}

// train does what sluice run does around a program, and plays the program.
func (t *tourist) train(ctx context.Context) error {
	file := filepath.Join(t.w.dir, "model.bin")
	fmt.Fprintf(t.out, "   ada$ sluice run --job train-churn --connection orders --output %s=model.bin -- python train.py\n", churn)
	var run api.JobRunStarted
	if err := t.w.ada.Call(ctx, http.MethodPost, api.RunsPath, api.JobRunStart{Job: "train-churn", Command: "python train.py"}, &run); err != nil {
		return err
	}
	conn, err := t.session(ctx, t.w.ada, run.ID)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	res := conn.ExecParams(ctx, "select country, orders, seconds from lab.features", nil, nil, nil, nil).Read()
	if res.Err != nil {
		return res.Err
	}
	if len(res.Rows) == 0 {
		return errors.New("there are no features to learn from")
	}
	var weights strings.Builder
	for _, row := range res.Rows {
		fmt.Fprintf(&weights, "%s\n", row)
	}
	if err := os.WriteFile(file, []byte(weights.String()), 0o600); err != nil {
		return err
	}
	hash, err := hashPath(file)
	if err != nil {
		return err
	}
	made := audit.Artifact{Name: churn, Hash: hash, Path: "model.bin"}
	end := api.JobRunEnd{Outcome: "ok", Outputs: []string{made.String()}, Facts: []string{"exit=0"}}
	if err := t.endRun(ctx, t.w.ada, run.ID, end); err != nil {
		return err
	}
	t.answer("made %s %.19s…", churn, hash)
	return nil
}

// upstream asks where the model came from, and has it proven.
func (t *tourist) upstream(ctx context.Context) error {
	fmt.Fprintf(t.out, "   grace$ sluice lineage up %s\n", churn)
	var answer lineage.Answer
	if err := t.w.grace.Call(ctx, http.MethodPost, api.LineagePath, lineage.Question{Up: true, Target: churn}, &answer); err != nil {
		return err
	}
	tree := answer.Tree(t.paintLineage, clean, t.now().Location())
	for _, part := range []string{"lab.visits.seconds", "public.customers.country", "approved by " + grace.Email, "train-churn"} {
		if !strings.Contains(tree, part) {
			return fmt.Errorf("the lineage of the model does not have %s:\n%s", part, tree)
		}
	}
	t.answer("%s", tree)
	fmt.Fprintf(t.out, "   grace$ sluice lineage prove %s --file churn.json && sluice audit verify churn.json --key log.vkey\n", churn)
	var proof json.RawMessage
	if err := t.w.grace.Call(ctx, http.MethodPost, api.LineageProvePath, api.LineageProve{Target: churn, Up: true}, &proof); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(t.w.dir, "gateway", "record", "log.vkey"))
	if err != nil {
		return err
	}
	checked, err := lineage.Check(proof, strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	t.answer("ok: %d ways follow from %d entries, among the %d that %s signed", len(checked.Answer.Edges), checked.Entries, checked.Size, clean(checked.Origin))
	return nil
}
