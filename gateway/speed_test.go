package gateway_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sluicehq/sluice/gateway"
)

// wide are results of some megabytes: clean, with two personal columns in ten, and prose.
const wide = `
create table parts (id int primary key, a text, b text, c text, d text, e text, f text, g text, h int, i timestamptz);
insert into parts select n, 'part ' || n, 'shelf ' || n % 99, 'as delivered', 'code ' || n * 7, 'green', 'in stock since spring', 'box of twelve', n % 1000, '2024-05-06' from generate_series(1, 40000) n;
create table members (id int primary key, email text, phone text, c text, d text, e text, f text, g text, h int, i timestamptz);
insert into members select n, 'ada' || n || '@example.com', '+49 30 5550' || 1000 + n % 9000, 'as delivered', 'code ' || n * 7, 'green', 'in stock since spring', 'box of twelve', n % 1000, '2024-05-06' from generate_series(1, 40000) n;
create table letters (id int primary key, body text);
insert into letters select n, 'The customer asked whether the order of last week could be sent to another place, because nobody is at home before six in the evening. We told them that the carrier offers a pickup point two streets away, open until nine'
	|| case when n % 10 = 0 then ', and wrote it to ada' || n || '@example.com.' else ', and that changing it costs nothing until the parcel leaves tonight.' end from generate_series(1, 20000) n;
analyze;`

// BenchmarkMasking compares results as they are masked with the same ones passed through
// unread (a rule unmasks all): the ratio within one run is what masking costs. cpu-ms is
// the processor time of gateway and client together, which does not depend on what else
// the machine does.
func BenchmarkMasking(b *testing.B) {
	masked := start(b, "dev", wide, nil)
	db, err := pgconn.ParseConfig(masked.direct)
	if err != nil {
		b.Fatal(err)
	}
	open := startOn(b, masked.direct, gateway.Connection{Name: "orders", Env: "dev", Database: db}, lenientRules(b, ", unmask: [all]"))
	pseudonyms := startOn(b, masked.direct, gateway.Connection{Name: "orders", Env: "dev", Database: db}, lenientRules(b, ", pseudonym: [email, phone]"), withKey)
	for _, bench := range []struct{ name, sql string }{{"clean", "select * from parts"}, {"two_in_ten", "select * from members"}, {"prose", "select * from letters"}} {
		for _, way := range []struct {
			name string
			th   *through
		}{{"passed", open}, {"masked", masked}, {"pseudonyms", pseudonyms}} {
			if way.name == "pseudonyms" && bench.name != "two_in_ten" {
				continue
			}
			b.Run(bench.name+"/"+way.name, func(b *testing.B) {
				f := rawOf(b, way.th.as(person("ada")))
				ask := func() (size int64) {
					f.Send(&pgproto3.Query{String: bench.sql})
					if err := f.Flush(); err != nil {
						b.Fatal(err)
					}
					for {
						m, err := f.Receive()
						if err != nil {
							b.Fatal(err)
						}
						switch m := m.(type) {
						case *pgproto3.DataRow:
							for _, v := range m.Values {
								size += int64(len(v))
							}
						case *pgproto3.ReadyForQuery:
							return size
						}
					}
				}
				b.SetBytes(ask())
				before := processor()
				for b.Loop() {
					ask()
				}
				b.ReportMetric(float64((processor()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			})
		}
	}
}

// processor is the time that this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
