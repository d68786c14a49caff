package gateway_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/pgtest"
)

func TestConnectionOfAGroupIsNotThereForOthers(t *testing.T) {
	dsn := pgtest.Database(t)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	th := startOn(t, dsn, gateway.Connection{Name: "orders", Groups: []string{"payments"}, Database: cfg}, nil)
	insider, outsider := person("ina", "payments"), person("otto", "support")
	if n := len(th.Connections(insider)); n != 1 {
		t.Errorf("a member sees %d connections, not the one", n)
	}
	if n := len(th.Connections(outsider)); n != 0 {
		t.Errorf("somebody else sees %d connections", n)
	}
	if _, err := th.Explain(t.Context(), outsider, "orders", "select 1"); err == nil {
		t.Error("somebody else may explain")
	}
	if _, err := th.Scan(t.Context(), outsider, "orders"); err == nil {
		t.Error("somebody else may scan")
	}
	connect(t, th.as(insider))
	if conn, err := pgx.Connect(t.Context(), th.as(outsider)); err == nil {
		conn.Close(t.Context())
		t.Error("somebody else is let in")
	}
}
