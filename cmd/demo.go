package cmd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/demo"
	"github.com/sluicehq/sluice/internal/pgcluster"
	"github.com/sluicehq/sluice/runbooks"
)

// The people of the demo. Ada uses the database; Grace may approve.
var (
	ada   = demo.User{Name: "Ada Lovelace", Email: "ada@shop.example", Groups: []string{"engineering"}}
	grace = demo.User{Name: "Grace Hopper", Email: "grace@shop.example", Groups: []string{"dba", "security"}}
)

// demoPolicy adds to the built-in policy what a shop would: writes in production
// need a second person.
const demoPolicy = `# The demo's policy; the built-in protective rules apply beside it.
rules:
  - name: writes-need-a-second-person
    when: 'statement.writes && connection.env == "prod" && !("dba" in who.groups)'
    effect: hold
    approvers: {groups: [dba], count: 1}
    reason: writes in production need a second pair of eyes
`

func (a *app) demoCommand() *cobra.Command {
	var tour bool
	c := &cobra.Command{
		Use: "demo", Short: "see everything work on this machine", Args: noArgs,
		Long: `Start a private PostgreSQL with a sample shop, an identity provider, the gateway and
a tunnel, log in, and open a port. On a terminal you get a psql line to paste, and
the approvals beside it. Without one, or with --tour, a guided tour runs: a masked
read, a refused DROP, an UPDATE held and approved, a runbook, Ctrl-C, where a model
came from, an agent on its leash, and the record.
Everything is removed at the end.`,
		Example: "  sluice demo\n  sluice demo --tour",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.demo(c.Context(), tour || !a.terminal)
		},
	}
	c.Flags().BoolVar(&tour, "tour", false, "run the guided tour even on a terminal")
	return c
}

// demoWorld is everything the demo starts, to be ended in the opposite order.
type demoWorld struct {
	a       *app
	dir     string
	cluster *pgcluster.Cluster
	idp     *demo.IDP
	house   *house
	gateway string // address
	url     string // what drivers are given
	psql    string // a line to paste

	ada, grace *client.Gateway
	ends       []func() error
}

func (a *app) demo(ctx context.Context, tour bool) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &demoWorld{a: a}
	defer func() {
		cancel()
		err = errors.Join(err, w.end())
	}()
	if err := w.start(ctx); err != nil {
		return err
	}
	if tour {
		return a.tour(ctx, w)
	}
	dir, err := w.shelf()
	if err != nil {
		return err
	}
	books, err := w.playing(grace).screenBooks(ctx, w.grace, dir)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("You are Grace (dba) here. To be Ada (engineering), paste this in another terminal:\n%s", w.psql)
	fmt.Fprintf(a.err, "\n%s\n\n", note)
	return a.openScreen(ctx, w.grace, screenOptions{note: note, noMouse: true, books: books}) // the note is there to be marked
}

// end stops everything, the last first, and says what could not be stopped.
func (w *demoWorld) end() error {
	var errs []error
	for i := len(w.ends) - 1; i >= 0; i-- {
		errs = append(errs, w.ends[i]())
	}
	return errors.Join(errs...)
}

func (w *demoWorld) onEnd(f func() error) { w.ends = append(w.ends, f) }

// start brings the demo's world up, each step said as it is taken.
func (w *demoWorld) start(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return err
	}
	w.dir = dir
	w.onEnd(func() error { return os.RemoveAll(dir) })
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"a private PostgreSQL with a sample shop", w.startDatabase},
		{"an identity provider with Ada (engineering) and Grace (dba)", w.startProvider},
		{"the gateway, with its record", w.startGateway},
		{"Ada and Grace log in", w.logIn},
		{"a tunnel and a local port for Ada", w.openPort},
	} {
		if err := step.do(ctx); err != nil {
			return err
		}
		fmt.Fprintln(w.a.err, w.a.paint("32", "✓"), step.what)
	}
	return nil
}

func (w *demoWorld) startDatabase(ctx context.Context) error {
	c, err := pgcluster.Start(ctx, pgcluster.Config{})
	if errors.Is(err, pgcluster.ErrNoPostgres) {
		return tell(exitError, "run it as: make demo, which installs one; or install the package postgresql", "no PostgreSQL server is installed on this machine")
	}
	if err != nil {
		return err
	}
	w.cluster = c
	w.onEnd(c.Stop)
	if err := run(ctx, c.DSN("postgres"), "create database shop"); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, c.DSN("shop"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := demo.Load(ctx, conn); err != nil {
		return err
	}
	// The gateway's own role is no superuser: defence in depth.
	_, err = conn.Exec(ctx, fmt.Sprintf(`create role shop_app login password '%s';
		grant select, insert, update, delete on all tables in schema public to shop_app;
		grant pg_read_all_stats to shop_app;
		create schema lab authorization shop_app;
		create table lab.visits (customer_id int not null, seconds int not null);
		alter table lab.visits owner to shop_app`, c.Password), pgx.QueryExecModeSimpleProtocol)
	return err
}

func run(ctx context.Context, dsn, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func (w *demoWorld) startProvider(ctx context.Context) error {
	idp, err := demo.StartIDP(ctx, demo.Config{Users: []demo.User{ada, grace}, ClientID: "sluice"})
	if err != nil {
		return err
	}
	w.idp = idp
	w.onEnd(idp.Close)
	return nil
}

func (w *demoWorld) startGateway(ctx context.Context) error {
	file := filepath.Join(w.dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(demoPolicy), 0o600); err != nil {
		return err
	}
	db, err := pgconn.ParseConfig(w.cluster.DSN("shop"))
	if err != nil {
		return err
	}
	db.User = "shop_app"
	h, err := w.a.openHouse(ctx, houseConfig{
		dir: filepath.Join(w.dir, "gateway"), hosts: []string{"127.0.0.1"}, policy: file,
		oidc:        &identity.OIDCConfig{Issuer: w.idp.Issuer(), ClientID: "sluice"},
		connections: []gateway.Connection{{Name: "orders", Env: "prod", Groups: []string{"engineering", "dba"}, Database: db}},
		base:        gateway.Config{Auditors: []string{"security"}, Admins: []string{"dba"}, Pseudonyms: []byte(rand.Text() + rand.Text())},
		log:         io.Discard, level: slog.LevelError,
	})
	if err != nil {
		return err
	}
	w.house = h
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, h.close())
	}
	w.gateway = ln.Addr().String()
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1) // one result, read at the end
	go func() { done <- h.serve(serving, ln) }()
	w.onEnd(func() error { stop(); return <-done })
	return h.gateway.Ready(ctx, "orders")
}

// logIn takes both people through the same login that sluice login does; only the
// browser is played.
func (w *demoWorld) logIn(ctx context.Context) error {
	for _, p := range []struct {
		user demo.User
		gw   **client.Gateway
	}{{ada, &w.ada}, {grace, &w.grace}} {
		store := client.NewStore(filepath.Join(w.dir, p.user.Email), w.a.now)
		if err := w.logInAs(ctx, store, p.user); err != nil {
			return fmt.Errorf("log %s in: %w", p.user.Name, err)
		}
		gw, err := client.Open(ctx, store, w.gateway)
		if err != nil {
			return err
		}
		*p.gw = gw
		w.onEnd(gw.Close)
	}
	return nil
}

// shelf is a directory with the runbooks that come along.
func (w *demoWorld) shelf() (dir string, err error) {
	dir = filepath.Join(w.dir, "runbooks")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, fs.WalkDir(runbooks.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := runbooks.Files.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path), data, 0o600)
	})
}

// playing is the command line of one of them.
func (w *demoWorld) playing(user demo.User) *app {
	own := *w.a
	own.env = func(name string) string {
		if name == "SLUICE_HOME" {
			return filepath.Join(w.dir, user.Email)
		}
		return w.a.env(name)
	}
	return &own
}

// logInAs is one login. The played browser stays open until the login is over, as a
// real one does, and if it fails the login need not wait for it.
func (w *demoWorld) logInAs(ctx context.Context, store *client.Store, user demo.User) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	open := func(url string) error {
		go func() {
			defer close(done)
			if err := w.idp.SignIn(user.Email)(url); err != nil {
				cancel(err)
			}
		}()
		return nil
	}
	_, err := client.Login(ctx, client.LoginOptions{Gateway: w.gateway, Store: store, OpenBrowser: open, Out: io.Discard, Trust: w.house.recognise})
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	<-done
	return nil
}

// recognise trusts this gateway's own certificate and no other.
func (h *house) recognise(fingerprint string) error {
	if fingerprint != h.fingerprint {
		return tell(exitError, "somebody else answers on the gateway's port", "this is not the gateway that was just started")
	}
	return nil
}

func (w *demoWorld) openPort(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	password, verifier := client.NewPassword()
	u := url.URL{Scheme: "postgres", User: url.UserPassword("ada", password), Host: ln.Addr().String(), Path: "/shop", RawQuery: "sslmode=disable"}
	w.url = u.String()
	w.psql = fmt.Sprintf("PGPASSWORD=%s psql -h 127.0.0.1 -p %d -U ada shop", password, ln.Addr().(*net.TCPAddr).Port)
	forwarding, stop := context.WithCancel(ctx)
	done := make(chan error, 1) // one result, read at the end
	go func() {
		done <- client.Forward(forwarding, ln, func(ctx context.Context) (net.Conn, error) { return w.ada.Stream(ctx, "orders", verifier) }, nil)
	}()
	w.onEnd(func() error { stop(); return <-done })
	return nil
}
