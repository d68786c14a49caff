package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/tunnel"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provider is an identity provider that lets everybody in as ada, and checks
// redirect, PKCE and single use like a real one.
type provider struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu    sync.Mutex
	codes map[string]url.Values // code to the request it answers; under mu

	refresh  string // the token that works; "" if none does; under mu
	uses     int    // of refresh tokens; under mu
	unbacked bool   // sends no refresh token; under mu
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Use: "sig"}}})
	})
	mux.HandleFunc("/auth", p.auth)
	mux.HandleFunc("/token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) auth(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("state") == "" || q.Get("nonce") == "" ||
		q.Get("client_id") != "sluice" || !strings.HasPrefix(q.Get("redirect_uri"), "http://127.0.0.1:") {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = q
	p.mu.Unlock()
	back := q.Get("redirect_uri") + "?" + url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}.Encode()
	http.Redirect(w, r, back, http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	if r.Form.Get("grant_type") == "refresh_token" {
		p.renew(w, r.Form.Get("refresh_token"))
		return
	}
	p.mu.Lock()
	q, ok := p.codes[r.Form.Get("code")]
	delete(p.codes, r.Form.Get("code"))
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") || r.Form.Get("redirect_uri") != q.Get("redirect_uri") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_grant"}`)
		return
	}
	p.give(w, q.Get("nonce"))
}

// renew takes a refresh token once, and ends the login if one is used twice.
func (p *provider) renew(w http.ResponseWriter, token string) {
	p.mu.Lock()
	p.uses++
	good := token != "" && token == p.refresh
	p.refresh = ""
	p.mu.Unlock()
	if !good {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_grant"}`)
		return
	}
	p.give(w, "")
}

// give sends tokens for ada.
func (p *provider) give(w http.ResponseWriter, nonce string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.unbacked {
		p.refresh = rand.Text()
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		panic(err)
	}
	said := map[string]any{
		"iss": p.URL, "aud": "sluice", "sub": "u1", "email": "ada@example.com", "groups": []string{"dba"},
		"iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(), "jti": rand.Text(),
	}
	if nonce != "" {
		said["nonce"] = nonce
	}
	claims, _ := json.Marshal(said)
	obj, err := s.Sign(claims)
	if err != nil {
		panic(err)
	}
	raw, err := obj.CompactSerialize()
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": raw, "expires_in": 300, "refresh_token": p.refresh})
}

// gatewayWorld is a gateway without databases: the API's login half, and a
// postgres stream that echoes.
type gatewayWorld struct {
	t           *testing.T
	provider    *provider
	authority   *identity.Authority
	verify      *identity.Provider
	cert        tls.Certificate
	fingerprint string
	addr        string
	ttl         time.Duration
	streams     chan tunnel.Header
	postgres    func(*tunnel.Stream) // instead of the greeting and the echo
	limit       int                  // of streams, if it is not the usual
	stop        func()
}

func newGateway(t *testing.T) *gatewayWorld {
	t.Helper()
	p := newProvider(t)
	a, err := identity.LoadOrCreateAuthority(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	v, err := identity.NewProvider(t.Context(), identity.OIDCConfig{Issuer: p.URL, ClientID: "sluice", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	cert, print, err := identity.ServerCertificate(t.TempDir(), time.Now(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	g := &gatewayWorld{t: t, provider: p, authority: a, verify: v, cert: cert, fingerprint: print, ttl: time.Hour, streams: make(chan tunnel.Header, 100)}
	g.start(lastingAddr(t))
	t.Cleanup(func() { g.stop() })
	return g
}

// lastingAddr is a local address that can be had again after a while: systems take the
// ports from 32768 on for connections, which may be one of another test, or even the
// client's own that asks at an address where nobody is.
func lastingAddr(t *testing.T) string {
	t.Helper()
	for port := 20000 + os.Getpid()%10000; port < 32768; port++ {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// start serves on addr until stop.
func (g *gatewayWorld) start(addr string) {
	g.t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	cfg := tunnel.Config{
		TLS:   &tls.Config{Certificates: []tls.Certificate{g.cert}, ClientCAs: g.authority.Pool()},
		Grace: 10 * time.Millisecond, Streams: g.limit,
	}
	go func() {
		defer close(ended)
		tunnel.Serve(ctx, ln, cfg, g.handle)
	}()
	g.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
}

func (g *gatewayWorld) handle(ctx context.Context, st *tunnel.Stream) {
	if st.Header.Kind == tunnel.API {
		if st.Accept() == nil {
			g.serveAPI(ctx, st)
		}
		return
	}
	if g.postgres != nil {
		g.postgres(st)
		return
	}
	g.streams <- st.Header
	id, err := g.authority.Identify(st.TLS)
	switch {
	case err != nil:
		st.Reject("not logged in", "run: sluice login")
	case st.Header.Connection != "orders":
		st.Reject("there is no connection \""+st.Header.Connection+"\"", "run: sluice ls")
	case st.Accept() == nil:
		io.WriteString(st, "hello "+id.Email+"\n")
		stop := context.AfterFunc(ctx, func() { st.Close() })
		defer stop()
		io.Copy(st, st.Conn)
	}
}

// serveAPI speaks HTTP on one stream.
func (g *gatewayWorld) serveAPI(ctx context.Context, st *tunnel.Stream) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.InfoPath, func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(api.Info{Version: "test", GatewayID: "gw", Issuer: g.provider.URL, ClientID: "sluice"})
	})
	mux.HandleFunc("POST "+api.CertificatePath, g.certificate)
	mux.HandleFunc("POST "+api.RenewPath, func(w http.ResponseWriter, r *http.Request) {
		var req api.RenewRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			problem(w, &api.Error{Sentence: err.Error(), Code: api.CodeUsage})
			return
		}
		was, err := g.authority.Identify(st.TLS)
		if err != nil {
			problem(w, &api.Error{Sentence: err.Error(), Code: api.CodeNotLoggedIn})
			return
		}
		leaf := st.TLS.PeerCertificates[0]
		id, err := g.verify.VerifyRenewal(r.Context(), req.IDToken, was, leaf.PublicKey)
		if err != nil {
			problem(w, &api.Error{Sentence: err.Error(), Code: api.CodeNotLoggedIn})
			return
		}
		der, err := g.authority.Issue(id, leaf.PublicKey, g.ttl)
		if err != nil {
			problem(w, &api.Error{Sentence: err.Error(), Code: api.CodeError})
			return
		}
		json.NewEncoder(w).Encode(api.CertificateResponse{CertPEM: string(identity.EncodeCertificate(der))})
	})
	mux.HandleFunc("GET "+api.WhoAmIPath, func(w http.ResponseWriter, _ *http.Request) {
		id, err := g.authority.Identify(st.TLS)
		if err != nil {
			problem(w, &api.Error{Sentence: "not logged in", Code: api.CodeNotLoggedIn})
			return
		}
		json.NewEncoder(w).Encode(api.WhoAmI{Subject: id.Subject, Email: id.Email, Kind: string(id.Kind)})
	})
	mux.HandleFunc("GET "+api.AsksWatchPath, func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			json.NewEncoder(w).Encode([]api.Ask{{ID: string(rune('a' + i))}})
			http.NewResponseController(w).Flush()
		}
		if r.URL.Query().Has("stay") {
			<-r.Context().Done()
		}
	})
	srv := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	ln := newOne(st.Conn)
	stop := context.AfterFunc(ctx, func() { srv.Close(); ln.Close() })
	defer stop()
	srv.Serve(ln)
	srv.Close()
}

func (g *gatewayWorld) certificate(w http.ResponseWriter, r *http.Request) {
	var req api.CertificateRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		problem(w, &api.Error{Sentence: err.Error(), Code: api.CodeUsage})
		return
	}
	pub, err := identity.ParsePublicKey([]byte(req.PublicKeyPEM))
	if err != nil {
		problem(w, &api.Error{Sentence: err.Error(), Code: api.CodeUsage})
		return
	}
	id, err := g.verify.VerifyLogin(r.Context(), req.IDToken, req.Nonce, pub)
	if err != nil {
		problem(w, &api.Error{Sentence: err.Error(), Code: api.CodeNotLoggedIn})
		return
	}
	der, err := g.authority.Issue(id, pub, g.ttl)
	if err != nil {
		problem(w, &api.Error{Sentence: err.Error(), Code: api.CodeError})
		return
	}
	json.NewEncoder(w).Encode(api.CertificateResponse{CertPEM: string(identity.EncodeCertificate(der))})
}

func problem(w http.ResponseWriter, e *api.Error) {
	w.WriteHeader(e.Status())
	json.NewEncoder(w).Encode(e)
}

// one is a listener that gives one connection, and ends when that does.
type one struct {
	conns chan net.Conn
	done  chan struct{}
	once  *sync.Once
	addr  net.Addr
}

type ending struct {
	net.Conn
	end func()
}

func (e ending) Close() error { e.end(); return e.Conn.Close() }

func newOne(c net.Conn) *one {
	o := &one{conns: make(chan net.Conn, 1), done: make(chan struct{}), once: &sync.Once{}, addr: c.LocalAddr()}
	o.conns <- ending{c, func() { o.Close() }}
	return o
}

func (o *one) Accept() (net.Conn, error) {
	select {
	case c := <-o.conns:
		return c, nil
	case <-o.done:
		return nil, net.ErrClosed
	}
}
func (o *one) Close() error   { o.once.Do(func() { close(o.done) }); return nil }
func (o *one) Addr() net.Addr { return o.addr }

// browser visits a page like a person would, following redirects.
type browser struct {
	mu     sync.Mutex
	pages  []string
	status []int
	wg     sync.WaitGroup
}

func (b *browser) open(u string) error {
	b.wg.Go(func() {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := c.Get(u)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		b.mu.Lock()
		b.pages = append(b.pages, string(body))
		b.status = append(b.status, resp.StatusCode)
		b.mu.Unlock()
	})
	return nil
}

func (b *browser) page() string {
	b.wg.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.pages, "\n")
}

func (g *gatewayWorld) store() *Store { return NewStore(g.t.TempDir(), time.Now) }

// login logs ada in.
func (g *gatewayWorld) login(s *Store) {
	g.t.Helper()
	var b browser
	var out bytes.Buffer
	id, err := Login(g.t.Context(), LoginOptions{
		Gateway: g.addr, Store: s, OpenBrowser: b.open, Out: &out, HTTP: g.http(),
		Trust: func(string) error { return nil },
	})
	if err != nil {
		g.t.Fatalf("login: %v\n%s\n%s", err, &out, b.page())
	}
	if id.Email != "ada@example.com" || !id.In("dba") {
		g.t.Fatalf("logged in as %+v", id)
	}
	if page := b.page(); !strings.Contains(page, "You are logged in") || !strings.Contains(page, "ada@example.com") {
		g.t.Errorf("the browser shows:\n%s", page)
	}
}

func (g *gatewayWorld) http() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}
