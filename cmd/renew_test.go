package cmd

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/demo"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// site is a provider, and a gateway made from a file.
type site struct {
	idp         *demo.IDP
	addr, pin   string
	config      string // file
	env         map[string]string
	gatewaySaid func(with string) string
}

// newSite adds more to the gateway's configuration.
func newSite(t *testing.T, more string) *site {
	t.Helper()
	idp, err := demo.StartIDP(t.Context(), demo.Config{Users: []demo.User{ada}, ClientID: "sluice"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { idp.Close() })
	db, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := db.User.Password()
	s := &site{idp: idp, config: filepath.Join(t.TempDir(), "gateway.yaml"), env: map[string]string{"DB_PASSWORD": password}}
	text := fmt.Sprintf(`listen: 127.0.0.1:0
data: %s
oidc: {issuer: %s, client_id: sluice, groups_claim: groups}
connections:
  - name: orders
    groups: ['*']
    database: {host: %s, port: %s, name: %s, user: %s, password: {env: DB_PASSWORD}, sslmode: disable}
%s`, t.TempDir(), idp.Issuer(), db.Hostname(), db.Port(), strings.TrimPrefix(db.Path, "/"), db.User.Username(), more)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// serve starts the gateway.
func (s *site) serve(t *testing.T) {
	t.Helper()
	s.gatewaySaid = lines(t, s.env, "gateway", "--config", s.config)
	serving := s.gatewaySaid("serving 1 connections on ")
	s.addr = serving[strings.LastIndex(serving, " ")+1:]
	shown := s.gatewaySaid("fingerprint")
	s.pin = shown[strings.LastIndex(shown, " ")+1:]
}

// login logs ada in with a browser.
func (s *site) login(t *testing.T, home map[string]string) {
	t.Helper()
	said := lines(t, home, "login", s.addr, "--ca-pin", s.pin, "--no-browser")
	if err := s.idp.SignIn(ada.Email)(strings.TrimSpace(said("http://127.0.0.1"))); err != nil {
		t.Fatal(err)
	}
	said("logged in as " + ada.Email)
}

// A connect outlives its first certificate, and so do the sessions in it, until the
// identity provider says something else of the person, or no longer agrees.
func TestConnectOutlivesItsCertificate(t *testing.T) {
	const life = 12 * time.Second
	s := newSite(t, fmt.Sprintf("certificate: %s\n", life))
	s.serve(t)
	home := map[string]string{"SLUICE_HOME": t.TempDir()}
	s.login(t, home)
	first, err := client.NewStore(home["SLUICE_HOME"], time.Now).Look("")
	if err != nil {
		t.Fatal(err)
	}
	connect := lines(t, home, "connect", "orders", "--no-password")
	_, dsn, _ := strings.Cut(connect("psql '"), "'")
	open := func() *pgx.Conn {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), strings.TrimSuffix(dsn, "'"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(t.Context()) })
		return conn
	}
	// work runs statements until one fails, or for as long as it is told to.
	work := func(conn *pgx.Conn, until time.Time) error {
		for until.IsZero() || time.Now().Before(until) {
			if _, err := conn.Exec(t.Context(), "select pg_sleep(0.05)"); err != nil {
				return err
			}
		}
		return nil
	}
	old := open()
	if err := work(old, first.Identity.Expires.Add(200*time.Millisecond)); err != nil {
		t.Fatalf("a session did not outlive the first certificate: %v", err)
	}
	s.idp.SetGroups(ada.Email, "somewhere else")
	if err := work(old, time.Time{}); !strings.Contains(err.Error(), "says something else of you") {
		t.Errorf("after the groups have changed: %v", err)
	}
	late := open()
	s.idp.EndLogins(ada.Email)
	connect("your login ends at ")
	if hint := connect("hint:"); !strings.Contains(hint, "sluice login") {
		t.Errorf("hint %q", hint)
	}
	if err := work(late, time.Time{}); !strings.Contains(err.Error(), "your login has expired") {
		t.Errorf("after the provider no longer agrees: %v", err)
	}
	if code, _, stderr := runs(t.Context(), home, "ls"); code != exitNotLoggedIn || !strings.Contains(stderr, "sluice login") {
		t.Errorf("ls: exit code %d, %s", code, stderr)
	}
}

func TestLoginByDeviceCode(t *testing.T) {
	s := newSite(t, "")
	s.serve(t)
	home := map[string]string{"SLUICE_HOME": t.TempDir()}
	said := lines(t, home, "login", s.addr, "--ca-pin", s.pin) // no DISPLAY: no browser here
	said("log in on any device")
	said("code  ")
	said("the address with the code in it")
	if err := s.idp.SignIn(ada.Email)(strings.TrimSpace(said("user_code="))); err != nil {
		t.Fatal(err)
	}
	said("logged in as " + ada.Email)
	if code, stdout, stderr := runs(t.Context(), home, "ls", "-o", "csv"); code != exitOK || !strings.Contains(stdout, "orders") {
		t.Errorf("ls: exit code %d, %s%s", code, stdout, stderr)
	}
}

func TestGatewayThatTakesNoDeviceLogin(t *testing.T) {
	s := newSite(t, "")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "client_id: sluice,", "client_id: sluice, device: false,", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.serve(t)
	home := map[string]string{"SLUICE_HOME": t.TempDir()}
	if code, _, stderr := runs(t.Context(), home, "login", s.addr, "--ca-pin", s.pin, "--device"); code != exitRefused || !strings.Contains(stderr, "does not take logins by device code") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// The picture is read by a camera: it has the border that one looks for, and the three
// squares that it finds a code by.
func TestPictureOfTheCode(t *testing.T) {
	rows := qrLines("https://id.example.com/activate?user_code=ABCD-EFGH", false)
	width := qrWidth("https://id.example.com/activate?user_code=ABCD-EFGH")
	if len(rows) != (width+1)/2 {
		t.Fatalf("%d lines for %d modules", len(rows), width)
	}
	for i, row := range rows {
		if n := len([]rune(row)); n != width {
			t.Errorf("line %d is %d wide, not %d", i, n, width)
		}
	}
	if border := strings.Repeat("█", width); rows[0] != border {
		t.Errorf("the border is %q", rows[0])
	}
	for _, row := range rows[1:3] { // of the squares at the top, left and right
		if r := []rune(row); r[2] != ' ' || r[width-3] != ' ' {
			t.Errorf("no square in %q", row)
		}
	}
	if qrLines(strings.Repeat("x", 5000), false) != nil {
		t.Error("a code of a text that none can hold")
	}
}
