package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
)

// session opens a PostgreSQL session through the tunnel. notices gets what it is told.
func (tu *tunnelled) session(gw *client.Gateway, notices chan string) *pgx.Conn {
	tu.t.Helper()
	cfg, err := pgx.ParseConfig("postgres://me@127.0.0.1/orders?sslmode=disable")
	if err != nil {
		tu.t.Fatal(err)
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return gw.Stream(ctx, "orders", "") }
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices <- n.Message }
	conn, err := pgx.ConnectConfig(tu.t.Context(), cfg)
	if err != nil {
		tu.t.Fatal(err)
	}
	tu.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// call is one control message; the code of the refusal is 0 if there was none.
func call[T any](t *testing.T, gw *client.Gateway, method, path string, in any) (out T, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := gw.Call(ctx, method, path, in, &out)
	if err == nil {
		return out, 0
	}
	e, ok := api.AsError(err)
	if !ok || e.Sentence == "" || e.Hint == "" {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return out, e.Code
}

// watched reads lists of asks until one suits want.
func watched(t *testing.T, gw *client.Gateway, want func([]api.Ask) bool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found := errors.New("found")
	err := gw.Watch(ctx, api.AsksWatchPath, func(line []byte) error {
		var asks []api.Ask
		if err := json.Unmarshal(line, &asks); err != nil {
			return err
		}
		if want(asks) {
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		return nil
	}
	return errors.Join(errors.New("no list of asks was as expected"), err)
}

// Whoever is neither asked nor in charge sees and ends only what is their own.
func TestControlMessagesAnswerByRight(t *testing.T) {
	tu := serve(t, "prod", shop)
	ada, otto := tu.login(person("ada", "dba")), tu.login(person("otto", "support"))
	bob, root, aud := tu.login(person("bob", "dba")), tu.login(person("root", "admin")), tu.login(person("aud", "audit"))
	notices := make(chan string, 10)
	conn := tu.session(ada, notices)
	done := make(chan error, 1)
	go func() { _, err := run(conn, "alter table cities add column mayor int"); done <- err }()
	select {
	case <-notices:
	case err := <-done:
		t.Fatalf("it was not held: %v", err)
	}

	t.Run("asks", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			gw   *client.Gateway
			sees int
			may  bool
		}{{"own", ada, 1, false}, {"stranger", otto, 0, false}, {"approver", bob, 1, true}, {"auditor", aud, 1, false}, {"administrator", root, 1, false}} {
			asks, code := call[[]api.Ask](t, tt.gw, "GET", api.AsksPath, nil)
			if code != 0 || len(asks) != tt.sees || tt.sees == 1 && asks[0].MayAnswer != tt.may {
				t.Errorf("%s sees %+v, code %d", tt.name, asks, code)
			}
			if err := watched(t, tt.gw, func(asks []api.Ask) bool { return len(asks) == tt.sees }); err != nil {
				t.Errorf("%s watches: %v", tt.name, err)
			}
		}
	})
	ask := tu.Asks(person("bob", "dba"))[0]
	path := func(pattern, id string) string { return strings.ReplaceAll(pattern, "{id}", id) }

	t.Run("answer", func(t *testing.T) {
		for name, gw := range map[string]*client.Gateway{"own": ada, "stranger": otto, "auditor": aud, "administrator": root} {
			if _, code := call[api.Ask](t, gw, "POST", path(api.AskPath, ask.ID), api.AskDecision{Grant: true, Seal: ask.Seal}); code != api.CodeRefused {
				t.Errorf("%s answered: code %d", name, code)
			}
		}
		if _, code := call[api.Ask](t, bob, "POST", path(api.AskPath, "nothing"), api.AskDecision{Grant: true}); code != api.CodeError {
			t.Errorf("an ask that is not there: code %d", code)
		}
		select {
		case err := <-done:
			t.Fatalf("it ended: %v", err)
		default:
		}
	})
	t.Run("sessions", func(t *testing.T) {
		for name, tt := range map[string]struct {
			gw   *client.Gateway
			sees int
		}{"own": {ada, 1}, "stranger": {otto, 0}, "approver": {bob, 0}, "administrator": {root, 1}} {
			if list, code := call[[]api.Session](t, tt.gw, "GET", api.SessionsPath, nil); code != 0 || len(list) != tt.sees || tt.sees == 1 && list[0].State != "waiting" {
				t.Errorf("%s sees %+v, code %d", name, list, code)
			}
		}
		for name, gw := range map[string]*client.Gateway{"stranger": otto, "approver": bob, "auditor": aud} {
			if _, code := call[api.Session](t, gw, "POST", path(api.KillPath, ask.Session), nil); code == 0 {
				t.Errorf("%s ended a session", name)
			}
		}
	})
	t.Run("grant", func(t *testing.T) {
		got, code := call[api.Ask](t, bob, "POST", path(api.AskPath, ask.ID), api.AskDecision{Grant: true, Reason: "as agreed", Seal: ask.Seal})
		if code != 0 || got.State != api.AskApproved {
			t.Errorf("%+v, code %d", got, code)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := watched(t, bob, func(asks []api.Ask) bool { return len(asks) == 0 }); err != nil {
			t.Error(err)
		}
	})
	t.Run("kill", func(t *testing.T) {
		got, code := call[api.Session](t, root, "POST", path(api.KillPath, ask.Session), nil)
		if code != 0 || got.ID != ask.Session {
			t.Errorf("%+v, code %d", got, code)
		}
		_, err := run(conn, "select 1")
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code != "57P01" || err == nil {
			t.Errorf("the session afterwards: %v", err)
		}
	})
}

// The record shows everyone their own, auditors and administrators all.
func TestRecordIsAskedByRight(t *testing.T) {
	tu := serve(t, "dev", shop)
	ada, otto := tu.login(person("ada")), tu.login(person("otto"))
	notices := make(chan string, 10)
	for _, gw := range []*client.Gateway{ada, otto} {
		if _, err := run(tu.session(gw, notices), "select count(*) from cities"); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		gw     *client.Gateway
		in     api.AuditQuery
		want   []string
		verify int
	}{
		"own":                  {ada, api.AuditQuery{Kind: audit.Decided}, []string{"ada"}, api.CodeRefused},
		"of somebody else":     {ada, api.AuditQuery{Kind: audit.Decided, Who: "otto"}, []string{"ada"}, api.CodeRefused},
		"of an address":        {ada, api.AuditQuery{Kind: audit.Decided, Who: "otto@example.com", Text: "cities"}, []string{"ada"}, api.CodeRefused},
		"approver":             {tu.login(person("bob", "dba")), api.AuditQuery{Kind: audit.Decided}, nil, api.CodeRefused},
		"auditor":              {tu.login(person("aud", "audit")), api.AuditQuery{Kind: audit.Decided}, []string{"ada", "otto"}, 0},
		"administrator":        {tu.login(person("root", "admin")), api.AuditQuery{Kind: audit.Decided}, []string{"ada", "otto"}, 0},
		"auditor about one":    {tu.login(person("aud", "audit")), api.AuditQuery{Kind: audit.Decided, Who: "otto"}, []string{"otto"}, 0},
		"group named in a lie": {tu.login(person("eve", "Audit", "audit ", "")), api.AuditQuery{Kind: audit.Decided}, nil, api.CodeRefused},
	} {
		t.Run(name, func(t *testing.T) {
			res, code := call[api.AuditResult](t, tt.gw, "POST", api.AuditQueryPath, tt.in)
			var who []string
			for _, ev := range res.Events {
				who = append(who, ev.Subject)
			}
			slices.Sort(who)
			if d := cmp.Diff(tt.want, slices.Compact(who)); d != "" || code != 0 {
				t.Errorf("code %d: %s", code, d)
			}
			found, code := call[api.VerifyResult](t, tt.gw, "POST", api.AuditVerifyPath, nil)
			if code != tt.verify || found.OK != (tt.verify == 0) || tt.verify == 0 && found.Entries == 0 {
				t.Errorf("verify: code %d, %+v", code, found)
			}
		})
	}
	if n := len(tu.events(audit.Questioned)); n < 8 {
		t.Errorf("%d questions are in the record", n)
	}
}

// What anyone with a login may ask is answered, and what makes no sense is said.
func TestControlMessagesOfAnyone(t *testing.T) {
	tu := serve(t, "dev", shop)
	ada := tu.login(person("ada", "dev"))
	me, code := call[api.WhoAmI](t, ada, "GET", api.WhoAmIPath, nil)
	if code != 0 || me.Subject != "ada" || me.Email != "ada@example.com" || !slices.Equal(me.Groups, []string{"dev"}) || me.Kind != "person" {
		t.Errorf("whoami: %d %+v", code, me)
	}
	list, code := call[[]api.Connection](t, ada, "GET", api.ConnectionsPath, nil)
	if code != 0 || len(list) != 1 || list[0].Name != "orders" || list[0].Env != "dev" || list[0].Kind != "postgres" || len(list[0].Rules) == 0 {
		t.Errorf("connections: %d %+v", code, list)
	}
	if p, code := call[api.Policy](t, ada, "GET", api.PolicyPath, nil); code != 0 || p.Source != "test" || p.Text != "the text of the policy" || len(p.Hash) != 64 {
		t.Errorf("policy: %d %+v", code, p)
	}
	type column struct {
		PII  bool
		Type string
	}
	columns, code := call[map[string]column](t, ada, "POST", api.ScanPath, api.ScanRequest{Connection: "orders"})
	if code != 0 || columns["public.people.email"] != (column{true, "email"}) || columns["public.cities.id"].PII {
		t.Errorf("scan: %d %+v", code, columns)
	}
	for _, path := range []string{api.ScanPath, api.ExplainPath} {
		if _, code := call[any](t, ada, "POST", path, api.ExplainRequest{Connection: "nothing", SQL: "select 1"}); code != api.CodeError {
			t.Errorf("%s of no connection: %d", path, code)
		}
	}
	for path, g := range guarded {
		if g.in == nil {
			continue
		}
		if _, code := call[any](t, ada, "POST", strings.ReplaceAll(path, "{id}", "x"), "not an object"); code != api.CodeUsage {
			t.Errorf("%s with a string: %d", path, code)
		}
	}
	if _, err := ada.Stream(t.Context(), "nothing", ""); err == nil || !strings.Contains(err.Error(), `no connection "nothing"`) {
		t.Errorf("a session of no connection: %v", err)
	}
}

// Field names of explain are a contract.
func TestExplainOverTheTunnel(t *testing.T) {
	tu := serve(t, "dev", shop)
	got, code := call[[]map[string]any](t, tu.login(person("ada")), "POST", api.ExplainPath,
		api.ExplainRequest{Connection: "orders", SQL: "select id, email from people; insert into cities values (1001, 'x'); delete from cities"})
	if code != 0 || len(got) != 3 {
		t.Fatalf("code %d, %v", code, got)
	}
	pick := func(m map[string]any, names ...string) map[string]any {
		out := map[string]any{}
		for _, n := range names {
			v, ok := m[n]
			if !ok {
				t.Errorf("there is no field %q in %v", n, m)
			}
			out[n] = v
		}
		return out
	}
	fields := []string{"kind", "reads", "writes", "target", "signs", "effect", "rule", "masks", "approvers"}
	want := []map[string]any{
		{"kind": "select", "reads": []any{"public.people.email", "public.people.id"}, "writes": []any{}, "target": nil, "signs": []any{},
			"effect": "allow", "rule": "default", "masks": []any{map[string]any{"column": "email", "label": "email"}}, "approvers": []any{}},
		{"kind": "insert", "reads": []any{}, "writes": []any{"public.cities"}, "target": "public.cities", "signs": []any{},
			"effect": "allow", "rule": "default", "masks": []any{}, "approvers": []any{}},
		{"kind": "delete", "reads": []any{}, "writes": []any{"public.cities"}, "target": "public.cities", "signs": []any{"no_where"},
			"effect": "deny", "rule": "no-change-of-every-row", "masks": []any{}, "approvers": []any{}},
	}
	for i := range want {
		if d := cmp.Diff(want[i], pick(got[i], fields...)); d != "" {
			t.Error(d)
		}
		if reason, ok := got[i]["reason"].(string); !ok || reason == "" {
			t.Errorf("no reason in %v", got[i])
		}
	}
	if n := count(t, tu.through, "select count(*) from cities"); n != 300 {
		t.Errorf("%d cities", n)
	}
}
