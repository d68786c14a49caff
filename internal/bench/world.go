//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/internal/pgcluster"
)

// database is the one that every target leads to.
const database = "bench"

// endpoint is where a client connects, and the processes its bytes pass through
// before PostgreSQL.
type endpoint struct {
	port     int
	user     string
	password string
	sslmode  string
	pids     []int
}

// env is how psql and pgbench are told.
func (e endpoint) env() []string {
	return append(os.Environ(), "PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(e.port), "PGUSER="+e.user, "PGPASSWORD="+e.password,
		"PGDATABASE="+database, "PGSSLMODE="+e.sslmode, "PGGSSENCMODE=disable")
}

func (e endpoint) dsn() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s sslmode=%s", e.port, e.user, e.password, database, e.sslmode)
}

// target is one way to the database. Its far endpoint is the same way with the
// client a distance from the server; it is opened when a workload first asks.
type target struct {
	name string
	near endpoint
	far  func(context.Context) (endpoint, error)
	away *endpoint // what far gave
}

func (t *target) distant(ctx context.Context) (endpoint, error) {
	if t.away == nil {
		e, err := t.far(ctx)
		if err != nil {
			return e, fmt.Errorf("at a distance: %w", err)
		}
		t.away = &e
	}
	return *t.away, nil
}

// world is everything that is started.
type world struct {
	dir       string
	bin       string // PostgreSQL's programs
	cluster   *pgcluster.Cluster
	targets   []*target
	idle      int // connections of the workload of that name
	processes []*process
	distances []*distance
	log       io.Writer
}

func newWorld(ctx context.Context, o options, log io.Writer) (*world, error) {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	w := &world{dir: dir, idle: o.idle, log: log}
	if err := errors.Join(os.Chmod(dir, 0o755), w.open(ctx, o)); err != nil { // PgBouncer reads it as another user
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) open(ctx context.Context, o options) (err error) {
	if w.bin, err = pgcluster.Find(); err != nil {
		return err
	}
	w.cluster, err = pgcluster.Start(ctx, pgcluster.Config{Settings: map[string]string{
		"max_connections": strconv.Itoa(2*o.idle + 300), "shared_buffers": "512MB", "max_wal_size": "4GB", "jit": "off",
		"max_parallel_workers_per_gather": "0", "autovacuum": "off",
	}})
	if err != nil {
		return err
	}
	direct := endpoint{w.cluster.Port, w.cluster.User, w.cluster.Password, "disable", nil}
	w.targets = []*target{{name: "direct", near: direct, far: w.behind(direct)}}
	if err := w.fill(ctx, direct, o.scale); err != nil {
		return err
	}
	for _, t := range []struct {
		name, needs string
		start       func(context.Context) (*target, error)
	}{{"pgbouncer", "pgbouncer", w.pgbouncer}, {"ssh", "sshd", w.ssh}, {"before", o.before, w.built("before", o.before)}, {"sluice", "go", w.sluice}} {
		if t.needs == "" || len(o.targets) > 0 && !slices.Contains(o.targets, t.name) {
			continue
		}
		if _, err := program(t.needs); err != nil {
			fmt.Fprintf(w.log, "bench: without %s, because %s is not installed\n", t.name, t.needs)
			continue
		}
		made, err := t.start(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		made.name = t.name
		w.targets = append(w.targets, made)
	}
	return nil
}

// program finds one also where only root's PATH leads.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

func (w *world) tool(name string) string {
	if path := filepath.Join(w.bin, name); fileExists(path) {
		return path
	}
	return name
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tables are beside pgbench's: rows without and with personal data.
const tables = `
create table wide as select i as id, md5(i::text) || md5((i+1)::text) as a, i * 3 as b, now()::timestamp as c from generate_series(1, 1000000) i;
create table personal as select i as id, 'user' || i || '@example.com' as email, md5(i::text) as note, i * 3 as b from generate_series(1, 300000) i;
create table taken (id int, a text, b int, c timestamp);
`

func (w *world) fill(ctx context.Context, e endpoint, scale int) error {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=postgres sslmode=disable", e.port, e.user, e.password))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "create database "+database)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, w.tool("pgbench"), "-i", "-q", "-s", strconv.Itoa(scale))
	cmd.Env = e.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench -i: %w: %s", err, complaint(string(out)))
	}
	if conn, err = pgx.Connect(ctx, e.dsn()); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, tables+"vacuum analyze", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		_, err = conn.Exec(ctx, tables, pgx.QueryExecModeSimpleProtocol)
	}
	return errors.Join(err, conn.Close(ctx))
}

func (w *world) start(name string, env []string, argv ...string) (*process, error) {
	p, err := launch(name, env, argv...)
	if err == nil {
		w.processes = append(w.processes, p)
	}
	return p, err
}

// at opens a distance to a port of this machine and returns the port that leads there.
func (w *world) at(port int) (int, error) {
	d, err := newDistance(local(port))
	if err != nil {
		return 0, err
	}
	w.distances = append(w.distances, d)
	return d.port(), nil
}

// behind leads to what near leads to, from a distance.
func (w *world) behind(near endpoint) func(context.Context) (endpoint, error) {
	return func(context.Context) (far endpoint, err error) {
		far = near
		far.port, err = w.at(near.port)
		return far, err
	}
}

// sluice is what is in the working directory.
func (w *world) sluice(ctx context.Context) (*target, error) {
	binary := filepath.Join(w.dir, "sluice")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w: %s", err, out)
	}
	return w.built("sluice", binary)(ctx)
}

// built makes a target of one build of sluice: a gateway and a client, a process
// each, with the built-in policy, masking and record on.
func (w *world) built(name, binary string) func(context.Context) (*target, error) {
	return func(ctx context.Context) (*target, error) { return w.through(ctx, name, binary) }
}

func (w *world) through(ctx context.Context, name, binary string) (*target, error) {
	gateway, err := w.start("sluice dev", nil, binary, "dev", "--dsn", w.cluster.DSN(database), "--no-password", "--data", filepath.Join(w.dir, name+"-data"), "-o", "json")
	if err != nil {
		return nil, err
	}
	said, err := gateway.await(ctx, `(?m)^(\{"ready":true.*\})$`)
	if err != nil {
		return nil, err
	}
	var ready struct{ Home string }
	if err := json.Unmarshal([]byte(said[0]), &ready); err != nil {
		return nil, fmt.Errorf("read what sluice dev says: %w", err)
	}
	from := func(ctx context.Context, home string) (e endpoint, err error) {
		port, err := freePort()
		if err != nil {
			return e, err
		}
		laptop, err := w.start("sluice connect", []string{"SLUICE_HOME=" + home}, binary, "connect", "dev", "--no-password", "--port", strconv.Itoa(port))
		if err != nil {
			return e, err
		}
		return endpoint{port, "sluice", "", "disable", []int{gateway.pid(), laptop.pid()}}, laptop.awaitPort(ctx, local(port))
	}
	near, err := from(ctx, ready.Home)
	return &target{near: near, far: func(ctx context.Context) (e endpoint, err error) {
		home, err := w.elsewhere(name, ready.Home)
		if err != nil {
			return e, err
		}
		return from(ctx, home)
	}}, err
}

// elsewhere is the home of the same person at a distance from the gateway. A gateway
// is known by its key, whatever its address is.
func (w *world) elsewhere(name, home string) (string, error) {
	files, err := filepath.Glob(filepath.Join(home, "gateways", "*.json"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("%s has the credentials of %d gateways, not one: %w", home, len(files), err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		return "", err
	}
	credentials := map[string]any{}
	if err := json.Unmarshal(b, &credentials); err != nil {
		return "", err
	}
	d, err := newDistance(fmt.Sprint(credentials["gateway"]))
	if err != nil {
		return "", err
	}
	w.distances = append(w.distances, d)
	credentials["gateway"] = local(d.port())
	if b, err = json.Marshal(credentials); err != nil {
		return "", err
	}
	far := filepath.Join(w.dir, name+"-far")
	// The client names the file by the address.
	sum := sha256.Sum256([]byte(local(d.port())))
	file := strings.ReplaceAll(local(d.port()), ":", "_") + "-" + hex.EncodeToString(sum[:4]) + ".json"
	return far, errors.Join(os.MkdirAll(filepath.Join(far, "gateways"), 0o700), os.WriteFile(filepath.Join(far, "gateways", file), b, 0o600))
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// close ends what was started, the last first.
func (w *world) close() error {
	var errs []error
	for _, p := range slices.Backward(w.processes) {
		errs = append(errs, p.end())
	}
	for _, d := range w.distances {
		errs = append(errs, d.close())
	}
	if w.cluster != nil {
		errs = append(errs, w.cluster.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// measure runs one workload against every target in each round. A target that fails
// it is said so and left out of the round.
func (w *world) measure(ctx context.Context, load workload, r *results) error {
	r.Loads = append(r.Loads, load.name)
	by := map[string][]sample{}
	r.Samples[load.name] = by
	for range r.Rounds {
		for _, t := range w.targets {
			s, err := load.run(ctx, w, t)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("%s through %s: %w", load.name, t.name, err)
			}
			fmt.Fprintf(w.log, "%-12s %-10s %10.1f  cpu %7.1f  other work %3.0f%%\n", load.name, t.name, s.Rate, s.Cost, 100*s.Foreign)
			by[t.name] = append(by[t.name], s)
		}
	}
	return nil
}
