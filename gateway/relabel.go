package gateway

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire/postgres"
)

// maxAgain is how often columns are judged again that changed while they were judged.
// After that they keep the label that whoever changed them gave them.
const maxAgain = 3

// relabel judges columns again: all, or those of some relations whose content is known to
// have changed. It reads and judges without d.mu, so that no statement waits for it, on a
// connection of its own; what is no longer so when it is done is judged once more.
func (d *database) relabel(ctx context.Context, only map[query.Ref]bool) {
	if d.current.Load() == nil {
		return // nobody has used it yet
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	conn, err := openLabels(ctx, d)
	if err != nil {
		d.log.Warn("judge columns again", "connection", d.Name, "error", err)
		return
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has only read
	for range maxAgain {
		old := d.current.Load()
		which := func(ref query.Ref, _ catalog.Column) bool {
			if only != nil {
				return only[query.Ref{Schema: ref.Schema, Table: ref.Table}]
			}
			rel, _ := old.Relation(ref.Schema, ref.Table)
			return !rel.System
		}
		found, err := judge(ctx, conn, old.certain, which, catalog.Budget{Only: only})
		if err != nil {
			d.log.Warn("some columns could not be sampled; they stay as they were", "connection", d.Name, "error", err)
		}
		if d.testJudged != nil {
			d.testJudged()
		}
		if only = d.judgedAgain(old, found); len(only) == 0 || ctx.Err() != nil {
			return
		}
	}
}

// judgedAgain puts to use what was found of old, where it still holds: again are the
// tables with a column that is another than it was, or is labelled otherwise since. Such a
// column keeps the label that it has now.
func (d *database) judgedAgain(old *known, found map[query.Ref]mask.Finding) (again map[query.Ref]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.current.Load()
	again = map[query.Ref]bool{}
	for ref := range found {
		if now.certain == old.certain {
			break
		}
		if !unchanged(old.certain, now.certain, ref) {
			delete(found, ref)
			if _, there := now.certain.Column(ref.Schema, ref.Table, ref.Column); there {
				again[query.Ref{Schema: ref.Schema, Table: ref.Table}] = true
			}
		}
	}
	next := now.sure()
	if err := d.settled(&next, found); err != nil {
		d.log.Warn("judge columns again", "connection", d.Name, "error", err)
		return nil
	}
	d.replace(now, &next)
	return again
}

// unchanged reports whether a column is the same in both, with the same label.
func unchanged(old, now *catalog.Snapshot, ref query.Ref) bool {
	was, _ := old.Column(ref.Schema, ref.Table, ref.Column)
	is, ok := now.Column(ref.Schema, ref.Table, ref.Column)
	before, _ := old.Attribute(ref)
	after, _ := now.Attribute(ref)
	return ok && before == after && was.TypeOID == is.TypeOID && was.Type == is.Type && was.Label == is.Label
}

// openLabels opens a connection that reads samples.
func openLabels(ctx context.Context, d *database) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("")
	if err != nil {
		return nil, err
	}
	cfg.Config = *postgres.Guarded(d.Database)
	cfg.RuntimeParams["application_name"] = "sluice labels"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to read samples: %w", postgres.Explain(d.Database, err))
	}
	return conn, nil
}
