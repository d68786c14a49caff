package soak

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/tunnel"
)

const (
	connection = "orders"
	// shortHold is how long a statement in a transaction waits: some are to time out.
	shortHold = 300 * time.Millisecond
	// patience is when an answer counts as lost. A loaded machine is slow, not this slow.
	patience = 2 * time.Minute
)

const schema = `
create table facts (worker int, key int, value text, primary key (worker, key));
create table bulk (worker int, i int, word text);
create table asked (worker int, word text);
create table kept (word text);
create table people (id int primary key, email text);
insert into people select i, 'secret' || i || '@example.com' from generate_series(1, 500) i;
analyze people;`

const rules = `
builtin: false
rules:
  - {name: most, when: 'true', effect: allow}
  - {name: kept, when: '"public.kept" in statement.tables', effect: deny, reason: this table is kept}
  - name: asked
    when: 'statement.writes && "public.asked" in statement.tables'
    effect: hold
    approvers: {groups: [dba], count: 1}
    reason: somebody else decides
`

// house is the product, with people in it.
type house struct {
	dsn       string // past the gateway
	record    string
	log       *audit.Log
	gateway   *gateway.Gateway
	authority *identity.Authority
	cert      tls.Certificate
	pin       string
	addr      string
	stores    string // directory of the people's credentials
	doors     []*door
	boss      *client.Gateway // may approve and end sessions
	stop      context.CancelFunc
	served    chan error // one result
}

// door is a person with an open local port.
type door struct {
	who  identity.Identity
	gw   *client.Gateway
	dsn  string
	stop func() error
}

func open(t *testing.T, dsn string) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{dsn: dsn, record: filepath.Join(dir, "record"), stores: dir, served: make(chan error, 1)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	h.log, err = audit.Open(audit.Config{Dir: h.record, Origin: "sluice/soak", Now: time.Now})
	must(err)
	h.authority, err = identity.LoadOrCreateAuthority(filepath.Join(dir, "authority"), time.Now)
	must(err)
	h.cert, h.pin, err = identity.ServerCertificate(filepath.Join(dir, "server"), time.Now(), "127.0.0.1")
	must(err)
	db, err := pgconn.ParseConfig(dsn)
	must(err)
	list, err := policy.Load("soak.yaml", []byte(rules))
	must(err)
	h.gateway, err = gateway.New(gateway.Config{
		ID: "soak", Connections: []gateway.Connection{{Name: connection, Env: "prod", Groups: []string{gateway.Everyone}, Database: db}}, Rules: list, PolicySource: "soak",
		Record: h.log, RecordDir: h.record, Authority: h.authority, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Admins: []string{"admin"}, Hold: patience, HoldTransaction: shortHold,
	})
	must(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	h.addr = ln.Addr().String()
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.Background())
	go func() {
		h.served <- h.gateway.Serve(ctx, ln, tunnel.Config{TLS: &tls.Config{Certificates: []tls.Certificate{h.cert}, ClientCAs: h.authority.Pool()}})
	}()
	h.boss, err = h.login("boss", "admin", "dba")
	must(err)
	for _, name := range []string{"ada", "ben", "cy"} {
		d, err := h.door(name)
		must(err)
		h.doors = append(h.doors, d)
	}
	return h
}

// login makes credentials for a person and opens the gateway with them.
func (h *house) login(name string, groups ...string) (*client.Gateway, error) {
	who := identity.Identity{Subject: name, Email: name + "@example.com", Groups: groups, Kind: identity.Person, Method: "soak", Expires: time.Now().Add(identity.MaxPersonTTL)}
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	der, err := h.authority.Issue(who, key.Public(), identity.MaxPersonTTL)
	if err != nil {
		return nil, err
	}
	pem, err := identity.EncodeKey(key)
	if err != nil {
		return nil, err
	}
	store := client.NewStore(filepath.Join(h.stores, name), time.Now)
	err = store.Save(&client.Credentials{
		Gateway: h.addr, ID: "soak", Trust: client.Trust{Pin: h.pin}, Key: string(pem), Cert: string(identity.EncodeCertificate(der)), Identity: who, LoggedIn: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	return client.Open(context.Background(), store, h.addr)
}

// door logs a person in and opens a port with a password.
func (h *house) door(name string) (*door, error) {
	gw, err := h.login(name)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, gw.Close())
	}
	password, verifier := client.NewPassword()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- client.Forward(ctx, ln, func(ctx context.Context) (net.Conn, error) { return gw.Stream(ctx, connection, verifier) }, nil)
	}()
	u := url.URL{Scheme: "postgres", User: url.UserPassword("sluice", password), Host: ln.Addr().String(), Path: "/" + connection, RawQuery: "sslmode=disable"}
	return &door{who: gw.Identity, gw: gw, dsn: u.String(), stop: sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-ended, gw.Close())
	})}, nil
}

func (h *house) close(t *testing.T) {
	t.Helper()
	for _, d := range h.doors {
		if err := d.stop(); err != nil {
			t.Errorf("close the door of %s: %v", d.who.Name(), err)
		}
	}
	if err := h.boss.Close(); err != nil {
		t.Error(err)
	}
	h.stop()
	if err := <-h.served; err != nil {
		t.Errorf("the gateway ended with: %v", err)
	}
	if err := h.log.Close(); err != nil {
		t.Error(err)
	}
	// What they hold may go: the cache of statements is bounded, not small, and fills
	// with texts that are never sent again.
	h.gateway, h.boss = nil, nil
}

// quiet waits until the gateway, still open, has no session and no ask left.
func (h *house) quiet(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := until(ctx, func() (bool, error) {
		sessions, err := h.sessions(ctx)
		if err != nil || len(sessions) > 0 {
			return false, err
		}
		asks, err := h.asks(ctx)
		return len(asks) == 0, err
	})
	if err != nil {
		t.Errorf("wait until every session has ended: %v", err)
	}
}

// nobodyUpstream looks for connections to the database that the gateway left open.
func (h *house) nobodyUpstream(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, h.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var left string
	err = until(ctx, func() (bool, error) { // a backend ends a moment after its client has
		err := conn.QueryRow(ctx, `select coalesce(string_agg(application_name || ' ' || state || ' ' || query, '; '), '') from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`).Scan(&left)
		return left == "", err
	})
	if err != nil {
		t.Errorf("connections are left at the database: %v: %s", err, left)
	}
}

func (h *house) sessions(ctx context.Context) (list []api.Session, err error) {
	return list, h.boss.Call(ctx, http.MethodGet, api.SessionsPath, nil, &list)
}

func (h *house) asks(ctx context.Context) (list []api.Ask, err error) {
	return list, h.boss.Call(ctx, http.MethodGet, api.AsksPath, nil, &list)
}

// until polls a condition until it holds.
func until(ctx context.Context, cond func() (bool, error)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := cond()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("it never came true: %w", ctx.Err())
		}
	}
}
