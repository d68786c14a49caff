package gateway_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/index"
	"github.com/sluicehq/sluice/gateway"
)

// What was done a moment ago is in the answer: who read which column, how many rows that
// were, and what of it was hidden. Each question is in the record, with who asked it.
func TestAuditorsAskTheIndex(t *testing.T) {
	th := start(t, "dev", shop, nil)
	for _, who := range []string{"ada", "otto", "ada"} {
		if _, err := connect(t, th.as(person(who))).Exec(context.Background(), "select email from people"); err != nil {
			t.Fatal(err)
		}
	}
	aud := person("aud", "audit")
	ask := func(in api.AuditQuery) api.AuditResult {
		t.Helper()
		res, err := th.AuditQuery(t.Context(), aud, in)
		if err != nil || res.Note != "" {
			t.Fatalf("%+v: %v %s", in, err, res.Note)
		}
		return res
	}
	var got []string
	var rows int64
	for _, g := range ask(api.AuditQuery{Whole: true, Column: "people.email", Masked: true, By: []string{"who"}}).Groups {
		got = append(got, g.Values[0])
		rows += g.Rows
	}
	if d := cmp.Diff([]string{"ada@example.com", "otto@example.com"}, got); d != "" || rows == 0 {
		t.Errorf("%d rows (-want +got):\n%s", rows, d)
	}
	one := ask(api.AuditQuery{Whole: true, Column: "people.email", Limit: 1}).Events[0]
	if one.Outcome != "ok" || one.Rows == 0 || one.Masked == 0 || one.Kind != audit.Decided {
		t.Errorf("the newest: %+v", one)
	}
	found, err := th.AuditSQL(t.Context(), aud, api.AuditSQL{SQL: "select count(*) from events where kind = 'decided'"})
	if err != nil || found.Rows[0][0] != int64(3) {
		t.Errorf("SQL: %+v, %v", found, err)
	}
	if _, err := th.AuditSQL(t.Context(), person("ada"), api.AuditSQL{SQL: "select 1"}); err == nil {
		t.Error("somebody who is no auditor asked in SQL")
	}
	asked := ask(api.AuditQuery{Kind: audit.Questioned}).Events
	if len(asked) != 4 || asked[1].Who != aud.Name() || !strings.Contains(asked[1].Detail, "sql select count") || !strings.Contains(asked[3].Detail, "people.email") {
		t.Errorf("of the questions the record has %+v", asked)
	}
	// Whoever is no auditor counts only what is theirs.
	own, err := th.AuditQuery(t.Context(), person("otto"), api.AuditQuery{Whole: true, By: []string{"who"}, Who: "ada@example.com"})
	if err != nil || len(own.Groups) != 1 || own.Groups[0].Values[0] != "otto@example.com" {
		t.Errorf("otto counts %+v, %v", own.Groups, err)
	}
}

// An index that cannot be written harms no session, and questions are still answered.
func TestNoSessionNeedsTheIndex(t *testing.T) {
	th := start(t, "dev", shop, nil, func(c *gateway.Config) {
		c.Index = index.New(index.Config{Record: c.RecordDir, Path: filepath.Join(c.RecordDir, "log.vkey", "no directory"), Flush: c.Record.Flush})
	})
	conn := connect(t, th.as(person("ada")))
	for range 3 {
		if _, err := conn.Exec(context.Background(), "select count(*) from people"); err != nil {
			t.Fatal(err)
		}
	}
	res, err := th.AuditQuery(t.Context(), person("aud", "audit"), api.AuditQuery{Whole: true, Table: "people"})
	if err != nil || len(res.Events) != 3 || res.Events[0].Outcome != "ok" || !strings.Contains(res.Note, "the record itself was read") {
		t.Errorf("%d events, %q, %v", len(res.Events), res.Note, err)
	}
}
