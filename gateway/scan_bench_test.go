package gateway_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// columns10000 are 10,000 columns: 1,000 tables of ten, 300 rows each, half of them analysed.
const columns10000 = `
do $$ begin for i in 1 .. 1000 loop
  execute format('create table t%s as select g as id, ''Ada Lovelace '' || g as person, ''ada'' || g || ''@example.com'' as c1, ''order '' || g as note,
    g * 7 as qty, now() - g * interval ''1 day'' as at, (array[''new'',''paid''])[1 + g %% 2] as status, ''+49 30 '' || 1000000 + g as c2,
    jsonb_build_object(''city'', ''Berlin'', ''n'', g) as doc, md5(g::text) as code from generate_series(1, 300) g', i);
  if i % 2 = 0 then execute format('analyze t%s', i); end if;
  if i % 100 = 0 then commit; end if;
end loop; end $$`

// The whole of what a gateway asks a database of 10,000 columns: the first look, another
// one, and the look for changes. Reported are the time, and the processor time of the
// database's process, which serves nothing else.
func BenchmarkScanOf10000Columns(b *testing.B) {
	dsn := pgtest.Database(b)
	pgtest.Exec(b, dsn, columns10000)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		th := startOn(b, dsn, gateway.Connection{Name: "orders", Env: "dev", Database: cfg}, nil)
		began := time.Now()
		columns, err := th.Scan(b.Context(), person("ada"), "orders")
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/first")
		b.ReportMetric(serverTime(b, dsn).Seconds(), "server-s/first")
		states := map[string]int{}
		for _, c := range columns {
			states[c.State]++
		}
		b.ReportMetric(float64(len(columns)), "columns")
		b.ReportMetric(float64(states["personal"]), "personal")
		b.ReportMetric(float64(states["unknown"]), "unknown")
		before := endedTime(b, dsn)
		began = time.Now()
		var judged time.Time
		th.Judged("orders", func() { judged = time.Now() })
		th.Relabel(b.Context(), "orders")
		b.ReportMetric(time.Since(began).Seconds(), "s/again")
		b.ReportMetric(time.Since(judged).Seconds(), "locked-s/again")
		for range 100 { // until the process that sampled is gone
			if endedTime(b, dsn) > before {
				break
			}
			<-time.After(20 * time.Millisecond)
		}
		b.ReportMetric((endedTime(b, dsn) - before).Seconds(), "server-s/again")
		before = serverTime(b, dsn)
		const polls = 10
		for range polls {
			th.Poll(b.Context(), "orders")
		}
		b.ReportMetric((serverTime(b, dsn)-before).Seconds()/polls*1000, "server-ms/poll")
		if err := th.stop(); err != nil {
			b.Fatal(err)
		}
	}
}

// serverTime is the processor time of the process that serves the gateway's own connection.
func serverTime(b *testing.B, dsn string) time.Duration {
	b.Helper()
	fields := processOf(b, dsn)
	return ticks(b, fields[11:13]) // utime and stime
}

// endedTime is that of all processes of the server that have ended, as those that sampled.
func endedTime(b *testing.B, dsn string) time.Duration {
	b.Helper()
	parent := statOf(b, processOf(b, dsn)[1])
	return ticks(b, parent[13:15]) // cutime and cstime
}

func processOf(b *testing.B, dsn string) []string {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(b.Context())
	var pid int
	if err := conn.QueryRow(b.Context(), "select pid from pg_stat_activity where application_name = 'sluice catalogue' and datname = current_database() order by backend_start desc limit 1").Scan(&pid); err != nil {
		b.Fatal(err)
	}
	return statOf(b, strconv.Itoa(pid))
}

// statOf are what the system says of a process, from its state on.
func statOf(b *testing.B, pid string) []string {
	b.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		b.Skip("the processor time of a process cannot be read here")
	}
	return strings.Fields(string(stat)[strings.LastIndex(string(stat), ")")+1:])
}

func ticks(b *testing.B, fields []string) time.Duration {
	b.Helper()
	var sum int64
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond
}
