package conformance

import "strconv"

// PgxPackages are the folders of pgx whose tests talk to a server, or to what they
// make up of one.
var PgxPackages = []string{".", "pgconn", "pgproto3", "pgtype", "pgtype/zeronull", "pgxpool", "stdlib", "tracelog", "multitracer"}

// Pgx is the driver that Sluice itself is built on, at the version we build with.
func Pgx() GoSuite {
	return GoSuite{
		Module: "github.com/jackc/pgx/v5", Packages: PgxPackages,
		Env: func(s Side) []string {
			return []string{"PGX_TEST_DATABASE=" + s.DSN(), "PGX_TEST_TCP_CONN_STRING=" + s.DSN()}
		},
	}
}

// PgxSetup is what pgx's own instructions have a database prepared with, apart from
// the roles for logins that are not the gateway's to check.
func PgxSetup() []string {
	return []string{
		`create extension hstore; create extension ltree; create domain uint64 as numeric(20,0);`,
		`create user " tricky, ' } "" \ test user " superuser password 'secret'`,
	}
}

// PqVersion is the release of lib/pq whose tests are run.
const PqVersion = "v1.10.9"

// Pq is the other Go driver, older than pgx and with habits of its own.
func Pq() GoSuite {
	return GoSuite{
		Module: "github.com/lib/pq", Version: PqVersion, Packages: []string{".", "hstore"},
		Env: func(s Side) []string {
			return []string{"PGHOST=" + s.Host, "PGPORT=" + strconv.Itoa(s.Port), "PGUSER=" + s.User, "PGPASSWORD=" + s.Password, "PGDATABASE=" + s.Database, "PGSSLMODE=disable"}
		},
	}
}
