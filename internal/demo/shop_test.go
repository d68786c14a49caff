package demo

import (
	"context"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// loadLimit is generous: the load takes under three seconds on an idle laptop,
// and the race detector's machine is rarely idle.
const loadLimit = 60 * time.Second

func loadShop(t *testing.T) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), loadLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	start := time.Now()
	if err := Load(ctx, conn); err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded in %v", time.Since(start))
	return conn
}

func count(t *testing.T, conn *pgx.Conn, sql string) int {
	t.Helper()
	var n int
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestLoadFillsTheShop(t *testing.T) {
	conn := loadShop(t)
	tables := map[string]int{}
	total := 0
	for _, name := range []string{"employees", "categories", "products", "customers", "addresses", "payment_methods",
		"orders", "order_items", "payments", "shipments", "reviews", "support_tickets", "login_events"} {
		tables[name] = count(t, conn, "select count(*) from "+name)
		total += tables[name]
		if tables[name] == 0 {
			t.Errorf("table %s is empty", name)
		}
	}
	if total < 45_000 || total > 60_000 {
		t.Errorf("%d rows, want about 50,000: %v", total, tables)
	}
	for _, view := range []string{"customer_overview", "open_orders", "product_sales", "revenue_by_month"} {
		if count(t, conn, "select count(*) from "+view) == 0 {
			t.Errorf("view %s is empty", view)
		}
	}
	if n := count(t, conn, "select count(*) from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace"); n < 12 {
		t.Errorf("%d foreign keys, want at least 12", n)
	}
	if n := count(t, conn, "select count(*) from pg_stats where schemaname = 'public'"); n == 0 {
		t.Error("no statistics: analyze did not run")
	}
	for _, wrong := range []string{
		"select count(*) from customers where email !~ '^[a-z]+[.][a-z]+[0-9]+@example[.](com|org)$'",
		"select count(*) from customers where length(password_hash) <> 60",
		"select count(*) from customers where phone like '%#%'",
		"select count(*) from orders where total_cents = 0",
	} {
		if n := count(t, conn, wrong); n != 0 {
			t.Errorf("%s: %d, want 0", wrong, n)
		}
	}
	if n := count(t, conn, "select count(*) from support_tickets s join customers c on c.id = s.customer_id where position(c.email in s.body) > 0"); n < 100 {
		t.Errorf("%d tickets hold an address, want at least 100", n)
	}
}

func TestLoadIsTheSameEveryTime(t *testing.T) {
	digest := func(conn *pgx.Conn) []string {
		var sums []string
		for _, q := range []string{"customers", "orders", "payment_methods", "login_events", "support_tickets"} {
			var sum string
			sql := "select encode(sha256(string_agg(r::text, '|' order by id)::bytea), 'hex') from " + q + " r"
			if _, err := conn.Exec(t.Context(), "set timezone = 'UTC'"); err != nil {
				t.Fatal(err)
			}
			if err := conn.QueryRow(t.Context(), sql).Scan(&sum); err != nil {
				t.Fatal(err)
			}
			sums = append(sums, q+" "+sum)
		}
		return sums
	}
	if diff := cmp.Diff(digest(loadShop(t)), digest(loadShop(t))); diff != "" {
		t.Errorf("two loads differ (-first +second):\n%s", diff)
	}
}

func TestPaymentNumbersPassTheirChecks(t *testing.T) {
	conn := loadShop(t)
	rows, err := conn.Query(t.Context(), "select coalesce(card_number, ''), coalesce(iban, '') from payment_methods")
	if err != nil {
		t.Fatal(err)
	}
	var card, iban string
	cards, ibans := 0, 0
	if _, err := pgx.ForEachRow(rows, []any{&card, &iban}, func() error {
		if card != "" {
			cards++
			if !luhn(card) || (len(card) != 16 && len(card) != 15) {
				t.Errorf("card %s is not a valid number", card)
			}
		}
		if iban != "" {
			ibans++
			if !mod97(iban) {
				t.Errorf("iban %s has wrong check digits", iban)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if cards < 1000 || ibans < 100 {
		t.Errorf("%d cards and %d ibans, want at least 1000 and 100", cards, ibans)
	}
}

func TestLoadInAFilledDatabaseChangesNothing(t *testing.T) {
	conn := loadShop(t)
	if _, err := conn.Exec(t.Context(), "drop table login_events"); err != nil {
		t.Fatal(err)
	}
	if err := Load(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "load the sample shop") {
		t.Fatalf("second load: %v, want an error that says what was attempted", err)
	}
	if n := count(t, conn, "select count(*) from pg_class where relname = 'login_events'"); n != 0 {
		t.Error("the refused load left a table behind")
	}
}

func luhn(number string) bool {
	total := 0
	for i := range number {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		total += d
	}
	return total%10 == 0
}

func mod97(iban string) bool {
	var digits strings.Builder
	for _, r := range iban[4:] + iban[:4] {
		if r >= 'A' && r <= 'Z' {
			digits.WriteString(big.NewInt(int64(r - 'A' + 10)).String())
			continue
		}
		digits.WriteRune(r)
	}
	n, ok := new(big.Int).SetString(digits.String(), 10)
	return ok && new(big.Int).Mod(n, big.NewInt(97)).Int64() == 1
}
