// Package demo holds the world that `sluice demo` and the scenarios run in: a
// sample shop with personal data of nobody real, and an OpenID provider whose
// users sign in by a click. Both are for one machine and one visit. The shop is
// the same, row for row, on every load; the provider listens on the loopback
// address only, and anyone who reaches it can be any of its users.
package demo

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

//go:embed shop.sql
var shopSQL string

// Load creates the sample shop in the database that conn is connected to: 13
// tables, 4 views and about 54,000 rows, all made inside the server. It is one
// transaction: a shop that cannot be loaded whole is not loaded at all.
func Load(ctx context.Context, conn *pgx.Conn) error {
	// Many statements in one simple query share an implicit transaction.
	if _, err := conn.PgConn().Exec(ctx, shopSQL).ReadAll(); err != nil {
		return fmt.Errorf("load the sample shop: %w", err)
	}
	return nil
}
