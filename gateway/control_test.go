package gateway_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit/export"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/lineage"
	"github.com/sluicehq/sluice/tunnel"
)

// tunnelled is a gateway behind its tunnel, as clients meet it.
type tunnelled struct {
	*through
	addr      string
	authority *identity.Authority
	cert      tls.Certificate
	pin       string
	ahead     atomic.Int64 // how far the gateway's clock is ahead
}

func (tu *tunnelled) now() time.Time { return time.Now().Add(time.Duration(tu.ahead.Load())) }

func serve(t *testing.T, env, setup string) *tunnelled {
	t.Helper()
	return serveOn(t, func(change func(*gateway.Config)) *through { return start(t, env, setup, nil, change) })
}

// serveOn puts a tunnel before the gateway that begin starts.
func serveOn(t *testing.T, begin func(change func(*gateway.Config)) *through) *tunnelled {
	t.Helper()
	tu := &tunnelled{}
	dir := t.TempDir()
	var err error
	if tu.authority, err = identity.LoadOrCreateAuthority(filepath.Join(dir, "authority"), tu.now); err != nil {
		t.Fatal(err)
	}
	if tu.cert, tu.pin, err = identity.ServerCertificate(filepath.Join(dir, "server"), time.Now(), "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	tu.through = begin(func(cfg *gateway.Config) {
		cfg.Authority, cfg.Now, cfg.PolicyText = tu.authority, tu.now, "the text of the policy"
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tu.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- tu.Serve(ctx, ln, tunnel.Config{
			TLS: &tls.Config{Certificates: []tls.Certificate{tu.cert}, ClientCAs: tu.authority.Pool()}, Log: slog.New(slog.DiscardHandler), Grace: 100 * time.Millisecond,
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return tu
}

// login gives who credentials and opens the gateway with them.
func (tu *tunnelled) login(who identity.Identity) *client.Gateway {
	tu.t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		tu.t.Fatal(err)
	}
	der, err := tu.authority.Issue(who, key.Public(), time.Hour)
	if err != nil {
		tu.t.Fatal(err)
	}
	pem, err := identity.EncodeKey(key)
	if err != nil {
		tu.t.Fatal(err)
	}
	store := client.NewStore(filepath.Join(tu.t.TempDir(), "store"), time.Now)
	err = store.Save(&client.Credentials{
		Gateway: tu.addr, ID: "test", Trust: client.Trust{Pin: tu.pin}, Key: string(pem), Cert: string(identity.EncodeCertificate(der)), Identity: who, LoggedIn: time.Now(),
	})
	if err != nil {
		tu.t.Fatal(err)
	}
	gw, err := client.Open(tu.t.Context(), store, tu.addr)
	if err != nil {
		tu.t.Fatal(err)
	}
	tu.t.Cleanup(func() { gw.Close() })
	return gw
}

// bare opens a tunnel with the certificates given, if any.
func (tu *tunnelled) bare(certs ...tls.Certificate) *tunnel.Session {
	tu.t.Helper()
	ca, err := x509.ParseCertificate(tu.cert.Certificate[1])
	if err != nil {
		tu.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	sess, err := tunnel.Dial(tu.t.Context(), tu.addr, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: certs}, tunnel.Config{})
	if err != nil {
		tu.t.Fatal(err)
	}
	tu.t.Cleanup(func() { sess.Close() })
	return sess
}

// post sends one request and returns the status and the error in the answer.
func post(t *testing.T, sess *tunnel.Session, method, path string, body []byte) (int, api.Error) {
	t.Helper()
	status, data := sent(t, sess, method, path, body)
	var e api.Error
	if status >= 300 {
		if err := json.Unmarshal(data, &e); err != nil {
			t.Fatalf("%s %s: %q: %v", method, path, data, err)
		}
	}
	return status, e
}

// sent sends one request and returns the answer.
func sent(t testing.TB, sess *tunnel.Session, method, path string, body []byte) (int, []byte) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return sess.Open(ctx, tunnel.Header{Kind: tunnel.API})
	}}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://gateway"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, data
}

// guarded are the paths that need a certificate, with what is sent there.
var guarded = map[string]struct {
	method string
	in     any
}{
	api.WhoAmIPath: {"GET", nil}, api.ConnectionsPath: {"GET", nil}, api.AsksPath: {"GET", nil}, api.AsksWatchPath: {"GET", nil},
	api.LivePath: {"GET", nil}, api.StreamPath: {"GET", nil},
	api.AskPath: {"POST", api.AskDecision{Grant: true}}, api.SessionsPath: {"GET", nil}, api.KillPath: {"POST", nil},
	api.AuditQueryPath: {"POST", api.AuditQuery{}}, api.AuditVerifyPath: {"POST", nil}, api.ExplainPath: {"POST", api.ExplainRequest{Connection: "orders", SQL: "select 1"}},
	api.ScanPath: {"POST", api.ScanRequest{Connection: "orders"}}, api.PolicyPath: {"GET", nil}, api.ReplayPath: {"POST", api.ReplayRequest{}},
	api.LabelPath:       {"POST", api.LabelRequest{Connection: "orders", Column: "public.people.email", As: "none", Reason: "x"}},
	api.AuditSQLPath:    {"POST", api.AuditSQL{SQL: "select 1"}},
	api.AuditProvePath:  {"POST", api.AuditProve{ID: "x-0"}},
	api.AuditReportPath: {"POST", api.AuditReport{For: "soc2"}},
	api.AuditExportPath: {"POST", export.Request{}},
	api.AuditRotatePath: {"POST", nil},
	api.TokensPath:      {"POST", api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders"}}}, api.TokenRevokePath: {"POST", api.Reason{}},
	api.UsersPath: {"GET", nil}, api.UserLockPath: {"POST", api.UserLock{Name: "ada"}}, api.UserUnlockPath: {"POST", api.UserLock{Name: "ada"}},
	api.RenewPath:   {"POST", api.RenewRequest{IDToken: "x"}},
	api.LineagePath: {"POST", lineage.Question{Target: "x"}}, api.LineageProvePath: {"POST", api.LineageProve{Target: "x"}}, api.LineageImportPath: {"POST", api.LineageImport{Events: []string{"{}"}}}, api.RunsPath: {"POST", api.JobRunStart{Job: "x"}}, api.RunEndPath: {"POST", api.JobRunEnd{Outcome: "ok"}}, api.RunBeatPath: {"POST", nil},
	api.PreviewPath: {"POST", nil}, api.RequestsPath: {"GET", nil}, api.RequestEndPath: {"POST", nil},
	api.RunbookPath: {"POST", api.NewRun{Connection: "orders", File: "a.yaml", Text: "title: a"}}, api.RunbookEndPath: {"POST", api.RunEnd{Status: "done"}},
	api.HookRunsPath: {"GET", nil}, api.HookRunPath: {"POST", api.HookResume{}},
}

// pathsOfAPI reads the paths from the source, so that a new one cannot be forgotten here.
func pathsOfAPI(t *testing.T) (paths []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "api", "api.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasSuffix(v.Names[0].Name, "Path") {
			path, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
		return true
	})
	return paths
}

func TestNoPathButLoginIsOpenToNobody(t *testing.T) {
	tu := serve(t, "dev", shop)
	nobody := tu.bare()
	paths := pathsOfAPI(t)
	if len(paths) != len(guarded)+4 {
		t.Errorf("%d paths in package api, %d known here", len(paths), len(guarded)+4)
	}
	for _, path := range paths {
		if path == api.InfoPath || path == api.CertificatePath || path == api.TokenPath {
			continue
		}
		if path == api.PeerPath { // of gateways, who know each other otherwise: for all others there is none
			if status, _ := sent(t, nobody, "POST", path, []byte("{}")); status != http.StatusNotFound {
				t.Errorf("%s: %d", path, status)
			}
			continue
		}
		g, ok := guarded[path]
		if !ok {
			t.Errorf("%s is not tested", path)
			continue
		}
		body, err := json.Marshal(g.in)
		if err != nil {
			t.Fatal(err)
		}
		status, e := post(t, nobody, g.method, strings.ReplaceAll(path, "{id}", "x"), body)
		if status != http.StatusUnauthorized || e.Code != api.CodeNotLoggedIn || e.Hint != "run: sluice login" {
			t.Errorf("%s: %d %+v", path, status, e)
		}
	}
	if status, _ := post(t, nobody, "GET", api.InfoPath, nil); status != http.StatusOK {
		t.Errorf("info: %d", status)
	}
	if status, e := post(t, nobody, "POST", api.CertificatePath, []byte(`{}`)); status != http.StatusInternalServerError || !strings.Contains(e.Sentence, "no identity provider") {
		t.Errorf("certificate: %d %+v", status, e)
	}
	_, err := nobody.Open(t.Context(), tunnel.Header{Kind: tunnel.Postgres, Connection: "orders"})
	if err == nil || !strings.Contains(err.Error(), "not logged in") {
		t.Errorf("a session: %v", err)
	}
}

// The clock of a login goes on while its tunnel is open.
func TestLoginExpiresInAnOpenTunnel(t *testing.T) {
	tu := serve(t, "dev", shop)
	gw := tu.login(person("ada"))
	var me api.WhoAmI
	if err := gw.Call(t.Context(), "GET", api.WhoAmIPath, nil, &me); err != nil || me.Subject != "ada" {
		t.Fatalf("%+v, %v", me, err)
	}
	tu.ahead.Store(int64(2 * time.Hour))
	for path, g := range guarded { // on the stream that is open
		err := gw.Call(t.Context(), g.method, strings.ReplaceAll(path, "{id}", "x"), g.in, nil)
		if e, ok := api.AsError(err); !ok || e.Code != api.CodeNotLoggedIn {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := gw.Stream(t.Context(), "orders", ""); err == nil || !strings.Contains(err.Error(), "not logged in") {
		t.Errorf("a new session: %v", err)
	}
}

// A certificate of another authority is that of nobody, whatever it claims.
func TestCertificateOfAnotherAuthorityIsRefused(t *testing.T) {
	tu := serve(t, "dev", shop)
	other, err := identity.LoadOrCreateAuthority(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := other.Issue(person("root", "admin"), key.Public(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(tu.cert.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	config := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil // whatever authorities the server asks for
	}}
	sess, err := tunnel.Dial(t.Context(), tu.addr, config, tunnel.Config{})
	if err == nil {
		defer sess.Close()
		_, err = sess.Open(t.Context(), tunnel.Header{Kind: tunnel.API})
	}
	if err == nil {
		t.Error("it was let in")
	}
}
