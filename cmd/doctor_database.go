package cmd

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/wire/postgres"
)

// standing is what the gateway's role may do beyond its tables, and how it got there.
const standing = `select r.rolsuper, r.rolcreaterole, r.rolbypassrls, r.rolreplication,
 (select coalesce(string_agg(p.rolname, ', ' order by p.rolname), '') from pg_catalog.pg_roles p
   where p.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
   and pg_catalog.pg_has_role(r.oid, p.oid, 'member')),
 coalesce((select s.ssl from pg_catalog.pg_stat_ssl s where s.pid = pg_catalog.pg_backend_pid()), false),
 pg_catalog.current_setting('standard_conforming_strings'), pg_catalog.current_setting('server_version')
 from pg_catalog.pg_roles r where r.rolname = current_user`

// examineDatabase opens a database as the gateway does.
func (a *app) examineDatabase(ctx context.Context, d *diagnosis, c connectionConfig) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	check := "db " + c.Name
	conn, err := c.connection(ctx, a.env)
	if err != nil {
		d.failed(check, err, "")
		return
	}
	cfg := postgres.Guarded(conn.Database)
	cfg.RuntimeParams["application_name"] = "sluice doctor"
	db, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		d.failed(check, postgres.Explain(conn.Database, err), "")
		return
	}
	defer db.Close(ctx)
	results, err := db.Exec(ctx, standing).ReadAll()
	if err != nil || len(results) != 1 || len(results[0].Rows) != 1 {
		d.wrong(check, "look at the database's own log", "the database of %s let us in, but does not tell of our role: %v", c.Name, err)
		return
	}
	row := results[0].Rows[0]
	is := func(i int) bool { return string(row[i]) == "t" }
	version, files, encrypted := string(row[7]), string(row[4]), is(5)
	how := "over TLS"
	if !encrypted {
		how = "without TLS"
	}
	d.ok(check, "PostgreSQL %s lets user %s into %s, %s", version, cfg.User, cfg.Database, how)
	if !encrypted && !local(c.Database.Host) {
		d.warn(check, "turn on ssl at the database, and take sslmode: verify-full", "anyone between the gateway and the database can read along")
	} else if m := c.Database.SSLMode; encrypted && (m == "require" || m == "prefer" || m == "allow") && !local(c.Database.Host) {
		d.warn(check, "take sslmode: verify-full, with sslrootcert if the authority is your own", "sslmode %s does not check that it is the right database", m)
	}
	if string(row[6]) != "on" {
		d.wrong(check, "set it to on for the gateway's role", "standard_conforming_strings is off, so no session is opened")
	}
	const few = "give the gateway a role that may do what people need, and no more: what Sluice overlooks, the database then still refuses"
	if is(0) {
		d.warn(check, few, "the gateway's role %s is a superuser, who may run programs and read files on the database's machine", cfg.User)
		return
	}
	var may []string
	for i, what := range []string{"makes roles", "passes row security by", "may replicate"} {
		if is(i + 1) {
			may = append(may, what)
		}
	}
	if files != "" {
		may = append(may, "is in "+files)
	}
	if len(may) > 0 {
		d.warn(check, few, "the gateway's role %s %s", cfg.User, listedAnd(may))
	}
}

// listedAnd is "a, b and c".
func listedAnd(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
