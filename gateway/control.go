package gateway

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/tunnel"
)

// headerTime bounds reading a request's header, so that a stream that says nothing
// does not stay.
const headerTime = 10 * time.Second

// serveAPI answers control messages on one stream. The caller is whom the
// certificate of the tunnel names, for every request on it.
func (g *Gateway) serveAPI(ctx context.Context, st *tunnel.Stream) {
	who, _, err := g.caller(st.TLS)
	peer, isPeer := g.isPeer(st.TLS)
	if err != nil && !isPeer && !errors.Is(err, identity.ErrNoCertificate) {
		g.reject(st, "your certificate is not accepted", "run: sluice login")
		return
	}
	if err := st.Accept(); err != nil {
		return
	}
	handler := g.peerHandler(peer)
	if !isPeer {
		handler = g.handler(who, st.TLS)
	}
	ln := newOnce(st)
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTime, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    nil,
	}
	stop := context.AfterFunc(ctx, func() {
		if err := server.Close(); err != nil {
			g.cfg.Log.Debug("close a control stream", "error", err)
		}
	})
	defer stop()
	if err := server.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		g.cfg.Log.Debug("control stream", "error", err)
	}
}

// handler routes control messages of one caller. Only the three that lead to a
// certificate are open to nobody.
func (g *Gateway) handler(who identity.Identity, state tls.ConnectionState) http.Handler {
	mux := http.NewServeMux()
	open(mux, "GET "+api.InfoPath, g.info)
	open(mux, "POST "+api.CertificatePath, g.certificate)
	open(mux, "POST "+api.TokenPath, g.exchange)
	g.credentialRoutes(mux, who)
	g.closed(mux, who, "POST "+api.RenewPath, with(func(r *http.Request, in api.RenewRequest) (any, error) {
		return g.renew(r.Context(), who, state.PeerCertificates[0], in.IDToken)
	}))
	g.closed(mux, who, "GET "+api.WhoAmIPath, func(*http.Request) (any, error) { return whoAmI(who), nil })
	g.closed(mux, who, "GET "+api.ConnectionsPath, func(*http.Request) (any, error) { return g.Connections(who), nil })
	g.closed(mux, who, "GET "+api.AsksPath, func(*http.Request) (any, error) { return g.Asks(who), nil })
	g.closed(mux, who, "POST "+api.AskPath, with(func(r *http.Request, in api.AskDecision) (any, error) {
		return g.Answer(who, r.PathValue("id"), in)
	}))
	g.lookRoute(mux, who)
	g.requestRoutes(mux, who)
	g.lineageRoutes(mux, who)
	g.closed(mux, who, "GET "+api.SessionsPath, func(*http.Request) (any, error) { return g.Sessions(who), nil })
	g.closed(mux, who, "POST "+api.KillPath, func(r *http.Request) (any, error) { return g.Kill(who, r.PathValue("id")) })
	g.closed(mux, who, "POST "+api.AuditQueryPath, with(func(r *http.Request, in api.AuditQuery) (any, error) {
		return g.AuditQuery(r.Context(), who, in)
	}))
	g.closed(mux, who, "POST "+api.AuditSQLPath, with(func(r *http.Request, in api.AuditSQL) (any, error) {
		return g.AuditSQL(r.Context(), who, in)
	}))
	g.closed(mux, who, "POST "+api.AuditProvePath, with(func(r *http.Request, in api.AuditProve) (any, error) {
		return g.AuditProve(r.Context(), who, in)
	}))
	g.closed(mux, who, "POST "+api.AuditVerifyPath, func(r *http.Request) (any, error) { return g.AuditVerify(r.Context(), who) })
	g.closed(mux, who, "POST "+api.AuditReportPath, with(func(r *http.Request, in api.AuditReport) (any, error) {
		return g.AuditReport(r.Context(), who, in)
	}))
	g.closed(mux, who, "POST "+api.AuditRotatePath, func(r *http.Request) (any, error) { return g.AuditRotateKey(r.Context(), who) })
	g.closed(mux, who, "POST "+api.ExplainPath, with(func(r *http.Request, in api.ExplainRequest) (any, error) {
		return g.Explain(r.Context(), who, in.Connection, in.SQL)
	}))
	g.closed(mux, who, "POST "+api.ScanPath, with(func(r *http.Request, in api.ScanRequest) (any, error) {
		return g.Scan(r.Context(), who, in.Connection)
	}))
	g.closed(mux, who, "POST "+api.LabelPath, with(func(r *http.Request, in api.LabelRequest) (any, error) {
		return g.Label(r.Context(), who, in)
	}))
	g.closed(mux, who, "GET "+api.PolicyPath, func(*http.Request) (any, error) {
		return g.PolicyStatus(), nil
	})
	g.closed(mux, who, "POST "+api.ReplayPath, with(func(r *http.Request, in api.ReplayRequest) (any, error) {
		return g.PolicyReplay(r.Context(), who, in)
	}))
	latest := func() identity.Identity { return g.leases.latest(identity.Fingerprint(state.PeerCertificates[0]), who) }
	g.liveRoutes(mux, who, latest)
	g.exportRoute(mux, who, latest)
	mux.HandleFunc("GET "+api.AsksWatchPath, func(w http.ResponseWriter, r *http.Request) {
		if err := g.known(who); err != nil {
			fail(w, err)
			return
		}
		g.watchAsks(w, r, latest)
	})
	return mux
}

// with reads what a request carries before f sees it.
func with[T any](f func(*http.Request, T) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var in T
		if err := read(r, &in); err != nil {
			return nil, err
		}
		return f(r, in)
	}
}

func open(mux *http.ServeMux, pattern string, f func(*http.Request) (any, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, api.MaxOpenRequest)
		reply(w, r, f)
	})
}

// closed serves callers whose certificate is still good.
func (g *Gateway) closed(mux *http.ServeMux, who identity.Identity, pattern string, f func(*http.Request) (any, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := g.known(who); err != nil {
			fail(w, err)
			return
		}
		reply(w, r, f)
	})
}

func (g *Gateway) known(who identity.Identity) error {
	if who.Valid(g.cfg.Now()) {
		if no := g.barred(who); no != nil {
			return &api.Error{Sentence: no.Sentence, Hint: no.Hint, Code: api.CodeNotLoggedIn}
		}
		return nil
	}
	return &api.Error{Sentence: "you are not logged in, or your login has expired", Hint: "run: sluice login", Code: api.CodeNotLoggedIn}
}

func reply(w http.ResponseWriter, r *http.Request, f func(*http.Request) (any, error)) {
	r.Body = http.MaxBytesReader(w, r.Body, api.MaxRequest)
	out, err := f(r)
	if err != nil {
		fail(w, err)
		return
	}
	body, err := json.Marshal(out)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // a caller that left misses nothing
}

func read(r *http.Request, in any) error {
	if err := json.NewDecoder(r.Body).Decode(in); err != nil {
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			return &api.Error{Sentence: fmt.Sprintf("the request is longer than %d MiB", long.Limit>>20), Hint: "send less at a time", Code: api.CodeUsage}
		}
		return &api.Error{Sentence: "the request is not the JSON that was expected", Hint: "update sluice on one of the two sides", Code: api.CodeUsage}
	}
	return nil
}

func fail(w http.ResponseWriter, err error) {
	e, ok := api.AsError(err)
	if !ok {
		e = &api.Error{Sentence: err.Error(), Hint: "the gateway's log has the details", Code: api.CodeError}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status())
	_ = json.NewEncoder(w).Encode(e) // a caller that left misses nothing
}

func (g *Gateway) info(*http.Request) (any, error) {
	return api.Info{
		Version: g.cfg.Version, GatewayID: g.cfg.ID, Issuer: g.cfg.Issuer, ClientID: g.cfg.ClientID,
		ClientSecret: g.cfg.ClientSecret, Prompt: g.cfg.Prompt, Device: g.cfg.DeviceLogin, Scopes: g.cfg.Scopes, Now: g.cfg.Now().UTC(), Audiences: g.audiences(),
	}, nil
}

// certificate trades a verified login for a certificate, and records it.
func (g *Gateway) certificate(r *http.Request) (any, error) {
	var in api.CertificateRequest
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if g.cfg.Provider == nil {
		return nil, &api.Error{Sentence: "nobody can log in here: no identity provider is configured", Hint: "set oidc in the gateway's configuration", Code: api.CodeError}
	}
	pub, err := identity.ParsePublicKey([]byte(in.PublicKeyPEM))
	if err != nil {
		return nil, &api.Error{Sentence: "the public key cannot be read", Hint: "log in again with sluice login", Code: api.CodeUsage}
	}
	verify := g.cfg.Provider.VerifyLogin
	if in.Device {
		if !g.cfg.DeviceLogin {
			return nil, &api.Error{Sentence: "this gateway does not take logins by device code", Hint: "log in with a browser on this machine: sluice login", Code: api.CodeRefused}
		}
		verify = g.cfg.Provider.VerifyDevice
	}
	who, err := verify(r.Context(), in.IDToken, in.Nonce, pub)
	if err != nil {
		g.log(g.note(audit.Event{Kind: audit.LoggedIn, Outcome: "refused", Error: err.Error()}))
		return nil, &api.Error{Sentence: "the identity provider's answer was not accepted: " + err.Error(), Hint: "log in again with sluice login", Code: api.CodeNotLoggedIn}
	}
	return g.issue(who, pub, g.cfg.CertificateTTL)
}

// issue gives a verified caller a certificate, and records it. Nobody who is locked
// gets one.
func (g *Gateway) issue(who identity.Identity, pub crypto.PublicKey, ttl time.Duration) (api.CertificateResponse, error) {
	ev := audit.Event{
		Kind: audit.LoggedIn, Outcome: "ok", Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Owner: who.Owner, Groups: who.Groups,
		Claims: identity.ClaimList(who.Claims),
	}
	if no := g.barred(who); no != nil {
		ev.Outcome, ev.Error = "refused", no.Sentence
		g.log(g.note(ev))
		return api.CertificateResponse{}, &api.Error{Sentence: no.Sentence, Hint: no.Hint, Code: api.CodeNotLoggedIn}
	}
	who.Expires = time.Time{} // the certificate's end, from now on
	der, err := g.cfg.Authority.Issue(who, pub, ttl)
	if err != nil {
		return api.CertificateResponse{}, fmt.Errorf("issue a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return api.CertificateResponse{}, fmt.Errorf("read back a certificate: %w", err)
	}
	if who, err = identity.Claimed(cert); err != nil {
		return api.CertificateResponse{}, err
	}
	ev.Credential, ev.Detail = who.Credential, "certificate until "+who.Expires.UTC().Format(time.RFC3339)
	if who.Token != "" {
		ev.Detail += ", for token " + who.Token
	}
	if err := g.note(ev); err != nil {
		return api.CertificateResponse{}, err
	}
	return api.CertificateResponse{CertPEM: string(identity.EncodeCertificate(der)), Expires: who.Expires, Identity: whoAmI(who)}, nil
}

func whoAmI(id identity.Identity) api.WhoAmI {
	return api.WhoAmI{
		Subject: id.Subject, Email: id.Email, Groups: id.Groups, Kind: string(id.Kind), Owner: id.Owner, Method: id.Method, Issuer: id.Issuer, Expires: id.Expires,
		Name: id.Name(), OwnerName: id.OwnerName, Credential: id.Credential, Claims: id.Claims, Writes: id.Writes,
	}
}

// Connections lists what who may use, and what applies there.
func (g *Gateway) Connections(who identity.Identity) []api.Connection {
	out := []api.Connection{}
	for _, c := range g.cfg.Connections {
		if g.open(who, c.Name) == nil {
			continue
		}
		out = append(out, api.Connection{Name: c.Name, Env: c.Env, Kind: "postgres", Database: c.Database.Database, Rules: g.rulesFor(who, c)})
	}
	return out
}

// once is a listener that has one connection to give.
type once struct {
	conn chan net.Conn
	done chan struct{}
	addr net.Addr
	end  sync.Once
}

func newOnce(conn net.Conn) *once {
	o := &once{conn: make(chan net.Conn, 1), done: make(chan struct{}), addr: conn.LocalAddr()}
	o.conn <- &closing{Conn: conn, closed: func() { o.end.Do(func() { close(o.done) }) }}
	return o
}

// Accept returns the connection, and then waits for its end.
func (o *once) Accept() (net.Conn, error) {
	select {
	case c := <-o.conn:
		return c, nil
	default:
	}
	<-o.done
	return nil, net.ErrClosed
}

func (o *once) Close() error {
	o.end.Do(func() { close(o.done) })
	return nil
}

func (o *once) Addr() net.Addr { return o.addr }

// closing tells when it is closed.
type closing struct {
	net.Conn
	closed func()
}

func (c *closing) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
