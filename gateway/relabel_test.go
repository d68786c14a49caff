package gateway_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// columnsOf makes n tables of ten columns and few rows.
func columnsOf(n int) string {
	return fmt.Sprintf(`
do $$ begin for i in 1 .. %d loop
  execute format('create table t%%s as select g as id, ''Ada Lovelace '' || g as person, ''ada'' || g || ''@example.com'' as c1, ''order '' || g as note,
    g * 7 as qty, now() - g * interval ''1 day'' as at, (array[''new'',''paid''])[1 + mod(g, 2)] as status, ''+49 30 '' || 1000000 + g as c2,
    jsonb_build_object(''city'', ''Berlin'', ''n'', g) as doc, md5(g::text) as code from generate_series(1, 30) g', i);
  if mod(i, 100) = 0 then commit; end if;
end loop; end $$`, n)
}

// While 10,000 columns are judged again, statements of other sessions run that change the
// catalogue and the labels, and what they changed is judged once more. Who held the lock of
// the catalogue over the judging would wait here for ever.
func TestJudgingAgainHoldsUpNobody(t *testing.T) {
	th := start(t, "dev", columnsOf(1000), nil)
	conn, ctx := connect(t, th.as(person("ada"))), t.Context()
	const simple = pgx.QueryExecModeSimpleProtocol
	if n, rows := leaks(conn, simple, "select note from t3 where id < 10", "order"); n != 9 || rows != 9 {
		t.Fatalf("%d of %d came before anything happened", n, rows)
	}
	pgtest.Exec(t, th.direct, "update t6 set code = 'ada' || id || '@example.com'")
	var order []string
	th.Judged("orders", func() {
		if order = append(order, "judged"); len(order) > 1 {
			return
		}
		for _, sql := range []string{"create table born (email text)", "insert into born values ('ada@example.com')", "insert into t3 (id, note) select id, c1 from t4", "select count(*) from born"} {
			if err := await(t, background(conn, sql)); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
			order = append(order, sql[:6])
		}
	})
	th.Relabel(ctx, "orders")
	if want := []string{"judged", "create", "insert", "insert", "select", "judged"}; !slices.Equal(order, want) {
		t.Errorf("it went %q, want %q", order, want)
	}
	th.noLongerClean(t, "public.t6.code")
	for _, sql := range []string{"select note from t3 where id > 0", "select code from t6 where id > 0", "select email from born where email <> ''"} {
		if n, rows := leaks(conn, simple, sql, "@example.com"); n != 0 || rows == 0 {
			t.Errorf("%s: %d of %d came through", sql, n, rows)
		}
	}
	if n, rows := leaks(conn, simple, "select note from t5 where id > 0", "order"); n != 30 || rows != 30 {
		t.Errorf("%d of %d of what is clean", n, rows)
	}
}

// A table is made anew under its name while the old one is judged: what was found of that
// says nothing of it, and while nobody can look at it nothing of it passes unread.
func TestDoorJudgedOfATableThatIsGone(t *testing.T) {
	th := start(t, "dev", columnsOf(10), nil)
	conn, ctx := connect(t, th.as(person("ada"))), t.Context()
	const simple = pgx.QueryExecModeSimpleProtocol
	if n, _ := leaks(conn, simple, "select note from t7 where id > 0", "order"); n != 30 {
		t.Fatalf("%d came before anything happened", n)
	}
	blocker := connect(t, th.direct)
	times := 0
	th.Judged("orders", func() {
		if times++; times > 1 {
			return
		}
		pgtest.Exec(t, th.direct, "drop table t7; create table t7 as select g as id, 'ada' || g || '@example.com' as note from generate_series(1, 30) g")
		if _, err := blocker.Exec(ctx, "begin; lock table t7 in access exclusive mode"); err != nil {
			t.Fatal(err)
		}
		th.Poll(ctx, "orders")
	})
	th.Relabel(ctx, "orders")
	if times != 2 {
		t.Errorf("judged %d times", times)
	}
	if _, err := blocker.Exec(ctx, "rollback"); err != nil {
		t.Fatal(err)
	}
	if n, rows := leaks(conn, simple, "select note from t7 where id > 0", "@example.com"); n != 0 || rows != 30 {
		t.Errorf("%d of %d came through", n, rows)
	}
}

// Attack: have a column labelled just when the gateway looks for changes made elsewhere.
// What it finds unchanged takes no label back.
func TestDoorLabelledWhileTheCatalogueIsLookedAt(t *testing.T) {
	th := start(t, "dev", shop, nil)
	conn := connect(t, th.as(person("ada")))
	name := func() (out string) {
		if err := conn.QueryRow(t.Context(), "select name from cities where id = 1", pgx.QueryExecModeSimpleProtocol).Scan(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	clear := name()
	th.PollMeanwhile(t.Context(), "orders", "cities", "name", catalog.Label{PII: true, Type: "person", Where: "whole", Confidence: 1, Evidence: "a test says so"})
	if got := name(); got == clear {
		t.Errorf("%q is shown after it was labelled", got)
	}
}
