package cmd

import (
	"context"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgcluster"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// beside opens a session in the middle of its work, and gives what checks that it
// goes on unharmed.
func (w *town) beside() (goesOn func(what string)) {
	w.t.Helper()
	conn := sessionOf(w.t, opened(w.t, w.home, "orders", "-o", "json").URL)
	if _, err := conn.Exec(w.t.Context(), "begin; insert into people values (1001, 'beside', 1)").ReadAll(); err != nil {
		w.t.Fatal(err)
	}
	return func(what string) {
		w.t.Helper()
		res, err := conn.Exec(w.t.Context(), "select count(*) from people where id = 1001").ReadAll()
		if err != nil || string(res[0].Rows[0][0]) != "1" {
			w.t.Errorf("the session beside %s: %v", what, err)
		}
	}
}

func sessionOf(t *testing.T, url string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := pgcluster.Find()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// closedPort is one where nothing listens.
func closedPort(t *testing.T) uint16 {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return uint16(ln.Addr().(*net.TCPAddr).Port)
}

// A database that cannot be used is told by psql, by exec and by dev in the same words,
// with a hint, and harms no session of another.
func TestDatabaseThatCannotBeUsedAsPeopleSeeIt(t *testing.T) {
	w := newTownWith(t, func(c *pgconn.Config) {
		switch c.Database {
		case "down":
			c.Port = closedPort(t)
		case "password":
			c.Password = "not this one"
		case "missing":
			c.Database = "nothing"
		}
	}, "down", "password", "missing")
	goesOn := w.beside()
	psql := program(t, "psql")
	for name, want := range map[string][3]string{
		"down":     {"the database behind this connection cannot be reached", "check that it is running and that the gateway may reach it", "08001"},
		"password": {"the database refused the gateway's own login", "ask whoever runs the gateway to check the user and password of this connection", "28P01"},
		"missing":  {`the database "nothing" behind this connection does not exist`, "ask whoever runs the gateway to check the database name of this connection", "3D000"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := w.run(w.home, "", "connect", name, "--", psql, "-X", "-c", "select 1")
			if code != 2 || out != "" || !strings.Contains(errs, "FATAL:  "+want[0]+"\n") || !strings.Contains(errs, "HINT:  "+want[1]+"\n") {
				t.Errorf("psql: exit code %d, %s%s", code, out, errs)
			}
			code, out, errs = w.run(w.home, "", "exec", name, "-c", "select 1")
			if code != exitError || out != "" || errs != "error: "+want[0]+" (SQLSTATE "+want[2]+")\nhint: "+want[1]+"\n" {
				t.Errorf("exec: exit code %d, %s%s", code, out, errs)
			}
			for _, conn := range w.conns {
				if conn.Name != name {
					continue
				}
				c := conn.Database
				dsn := url.URL{Scheme: "postgres", User: url.UserPassword(c.User, c.Password), Host: net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), Path: c.Database, RawQuery: "sslmode=disable"}
				code, out, errs = w.run(t.TempDir(), "", "dev", "--dsn", dsn.String())
				if code != exitError || out != "" || errs != "error: "+want[0]+"\nhint: "+want[1]+"\n" {
					t.Errorf("dev: exit code %d, %s%s", code, out, errs)
				}
			}
			goesOn(name)
		})
	}
}

// Wrong certificates, the caller's and the gateway's, are told with what to do, and
// harm nobody who has the right ones.
func TestWrongCertificatesAsPeopleSeeThem(t *testing.T) {
	w := newTown(t)
	goesOn := w.beside()
	other := newTown(t)
	load := func(w *town) *client.Credentials {
		c, err := client.NewStore(w.home, time.Now).Load("")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, tt := range map[string]struct {
		spoil func(c *client.Credentials)
		now   func() time.Time // on the caller's machine
		code  int
		errs  []string
	}{
		"of an authority that the gateway does not know": {func(c *client.Credentials) { o := load(other); c.Cert, c.Key = o.Cert, o.Key }, time.Now, exitNotLoggedIn, []string{"login expired", "sluice login " + w.addr}},
		"that has expired": {func(*client.Credentials) {}, func() time.Time { return time.Now().Add(2 * time.Hour) }, exitNotLoggedIn, []string{"login expired", "sluice login " + w.addr}},
		"that only the gateway knows to have expired": {func(c *client.Credentials) { expire(t, w, c) }, time.Now, exitNotLoggedIn, []string{"login expired", "sluice login " + w.addr}},
		"without its key":              {func(c *client.Credentials) { c.Key = load(other).Key }, time.Now, exitNotLoggedIn, []string{"the stored certificate is damaged", "run sluice login again"}},
		"that is none":                 {func(c *client.Credentials) { c.Cert = "no certificate" }, time.Now, exitNotLoggedIn, []string{"the stored certificate is damaged", "run sluice login again"}},
		"of another gateway":           {func(c *client.Credentials) { c.Trust = load(other).Trust }, time.Now, exitError, []string{"wrong certificate", "someone may be in between", "sluice logout"}},
		"of a gateway at another time": {func(*client.Credentials) {}, func() time.Time { return time.Now().Add(-20 * 365 * 24 * time.Hour) }, exitError, []string{"has expired, or is not valid yet", "this machine's clock"}},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			c := load(w)
			tt.spoil(c)
			if err := client.NewStore(home, time.Now).Save(c); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"exec", "orders", "-c", "select 1"}, {"connect", "orders", "--", "true"}, {"ls"}} {
				out, errs := new(said), new(said)
				a := &app{in: strings.NewReader(""), out: out, err: errs, now: tt.now, env: func(name string) string { return map[string]string{"SLUICE_HOME": home}[name] }}
				code := a.run(t.Context(), args)
				if code != tt.code || out.String() != "" || !strings.Contains(errs.String(), "\nhint: ") || strings.Count(errs.String(), "\n") != 2 {
					t.Errorf("%v: exit code %d, %s%s", args, code, out, errs)
				}
				for _, want := range tt.errs {
					if !strings.Contains(errs.String(), want) {
						t.Errorf("%v: %s does not say %q", args, errs, want)
					}
				}
			}
			goesOn("a certificate " + name)
		})
	}
}

// expire gives c a certificate that its gateway issued long ago; the file says otherwise.
func expire(t *testing.T, w *town, c *client.Credentials) {
	t.Helper()
	past, err := identity.LoadOrCreateAuthority(filepath.Join(w.dir, "authority"), func() time.Time { return time.Now().Add(-3 * time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	who := c.Identity
	who.Expires = time.Now().Add(-2 * time.Hour)
	der, err := past.Issue(who, key.Public(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := identity.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.Cert, c.Key = string(identity.EncodeCertificate(der)), string(pem)
}

// A gateway whose own certificate no client could accept does not start.
func TestGatewayWithABadCertificateOfItsOwn(t *testing.T) {
	authority := pgtest.NewAuthority(t)
	right, rightKey := authority.Issue(t, nil)
	_, otherKey := authority.Issue(t, nil)
	old, oldKey := authority.Issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"no certificate":                {nil, rightKey, "cannot be read: no such file"},
		"no PEM":                        {[]byte("hello"), rightKey, "cannot be read: "},
		"the key of another":            {right, otherKey, "cannot be read: tls: private key does not match public key"},
		"one that is expired":           {old, oldKey, "has expired on "},
		"key and certificate exchanged": {rightKey, right, "cannot be read: "},
	} {
		t.Run(name, func(t *testing.T) {
			cert, key := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".crt"), filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".key")
			for path, data := range map[string][]byte{cert: tt.cert, key: tt.key} {
				if data == nil {
					continue
				}
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			code, out, errs := runs(t.Context(), map[string]string{"ORDERS_PASSWORD": "x"}, "gateway", "--config", writeConfig(t, "tls: {cert: "+cert+", key: "+key+"}\n"+goodConfig))
			if code != exitUsage || out != "" || !strings.Contains(errs, "error: the gateway's certificate ") || !strings.Contains(errs, tt.want) || !strings.Contains(errs, "\nhint: ") || strings.Count(errs, "\n") != 2 {
				t.Errorf("exit code %d, %s%s", code, out, errs)
			}
		})
	}
}

// A port that another program has is told by every command that opens one.
func TestPortTakenIsToldByAll(t *testing.T) {
	w := newTown(t)
	goesOn := w.beside()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	config := writeConfig(t, strings.Replace(goodConfig, "127.0.0.1:0", ln.Addr().String(), 1))
	for name, args := range map[string][]string{
		"gateway": {"gateway", "--config", config}, "dev": {"dev", "--dsn", w.dsn, "--port", port},
		"connect": {"connect", "orders", "--port", port}, "connect with a command": {"connect", "orders", "--port", port, "--", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs := new(said), new(said)
			a := &app{in: strings.NewReader(""), out: out, err: errs, now: time.Now, env: func(name string) string {
				return map[string]string{"SLUICE_HOME": w.home, "ORDERS_PASSWORD": "x"}[name]
			}}
			code := a.run(t.Context(), args)
			if code != exitError || out.String() != "" || !strings.HasPrefix(errs.String(), "error: the address "+ln.Addr().String()+" is taken by another program\nhint: choose another ") {
				t.Errorf("exit code %d, %s%s", code, out, errs)
			}
			goesOn(name)
		})
	}
}
