package gateway_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/gateway"
)

// One caller cannot take the places of all, nor all together take more than the
// gateway has; who is turned away is told, and a place is free again with its session.
func TestSessionsHaveALimit(t *testing.T) {
	th := start(t, "dev", shop, nil, func(c *gateway.Config) { c.Sessions, c.SessionsEach = 3, 2 })
	ports := map[string]string{}
	for _, name := range []string{"ada", "bob", "eve"} {
		ports[name] = th.as(person(name))
	}
	open := func(name string) (*pgx.Conn, error) { return pgx.Connect(context.Background(), ports[name]) }
	must := func(name string) *pgx.Conn {
		conn, err := open(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return conn
	}
	refused := func(name string) {
		t.Helper()
		conn, err := open(name)
		if err == nil {
			conn.Close(context.Background())
			t.Fatalf("%s got one more", name)
		}
		if pg := wantCode(t, err, "53300"); pg.Hint == "" {
			t.Errorf("no hint: %+v", pg)
		}
	}
	first, second := must("ada"), must("ada")
	refused("ada")
	third := must("bob")
	refused("eve")
	first.Close(context.Background())
	var fourth *pgx.Conn
	eventually(t, "the place is free", func() bool {
		var err error
		fourth, err = open("eve")
		return err == nil
	})
	for _, conn := range []*pgx.Conn{second, third, fourth} {
		conn.Close(context.Background())
	}
}
