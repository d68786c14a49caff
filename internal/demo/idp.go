package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	// requestLimit bounds one HTTP exchange with the provider: everything is on
	// this machine and in memory.
	requestLimit = 10 * time.Second
	// bodyLimit is far above any login form or token request.
	bodyLimit = 64 << 10
)

// User is somebody who can sign in at the demo's provider by a click.
type User struct {
	Name   string
	Email  string // also the subject of the tokens
	Groups []string
}

// Config says who the provider knows.
type Config struct {
	Users []User
	// ClientID is the one public native client. It may return to
	// http://127.0.0.1:PORT/callback with any port, and must use PKCE.
	ClientID string
}

// IDP is an OpenID provider in this process, on a random loopback port. One
// goroutine serves it; Close, or the end of the context it was started with,
// ends that goroutine.
type IDP struct {
	users   []User // as they were at the start
	store   *idpStore
	issuer  string
	server  *http.Server
	unwatch func() bool
	done    chan struct{} // closed when the serving goroutine has ended
	failed  error         // written before done is closed
}

// StartIDP starts the provider and returns when it accepts connections.
func StartIDP(ctx context.Context, cfg Config) (*IDP, error) {
	if cfg.ClientID == "" || len(cfg.Users) == 0 {
		return nil, errors.New("start the identity provider: a client id and at least one user are needed")
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the identity provider: %w", err)
	}
	store, err := newIDPStore(cfg)
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("start the identity provider: %w", err)
	}
	handler, err := providerHandler(store, ln.Addr().String())
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("start the identity provider: %w", err)
	}
	p := &IDP{
		users:  cfg.Users,
		store:  store,
		issuer: "http://" + ln.Addr().String(),
		server: &http.Server{Handler: handler, ReadTimeout: requestLimit, WriteTimeout: requestLimit},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(p.done)
		if err := p.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			p.failed = fmt.Errorf("serve the identity provider: %w", err)
		}
	}()
	p.unwatch = context.AfterFunc(ctx, func() { p.server.Close() })
	return p, nil
}

func providerHandler(store *idpStore, addr string) (http.Handler, error) {
	settings := &op.Config{
		CodeMethodS256:        true,
		GrantTypeRefreshToken: true,
		SupportedScopes:       []string{"openid", "profile", "email", "groups", "offline_access"},
		DeviceAuthorization: op.DeviceAuthorizationConfig{
			Lifetime: requestLifetime, PollInterval: time.Second, UserFormPath: "/device", UserCode: op.UserCodeBase20,
		},
	}
	rand.Read(settings.CryptoKey[:])
	// Only programs and this page's own forms talk to the provider: other web
	// pages get no cross-origin answer.
	provider, err := op.NewProvider(settings, store, op.StaticIssuer("http://"+addr), op.WithAllowInsecure(), op.WithCORSOptions(nil))
	if err != nil {
		return nil, err
	}
	pages, err := newLoginPages(store)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/login", pages)
	mux.Handle("/device", pages)
	mux.Handle("/", provider)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A name that merely resolves to this address is a web page trying to
		// reach the loopback interface through the browser.
		if r.Host != addr {
			http.Error(w, "this provider answers at "+addr+" only", http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
		mux.ServeHTTP(w, r)
	}), nil
}

// Issuer is the provider's issuer URL, to be given to clients and the gateway.
func (p *IDP) Issuer() string { return p.issuer }

// Close stops the provider and waits for its goroutine.
func (p *IDP) Close() error {
	p.unwatch()
	p.server.Close()
	<-p.done
	return p.failed
}

// EndLogins is an administrator of the provider who ends a person's logins: none of
// them can be renewed from now on.
func (p *IDP) EndLogins(email string) { p.store.endLogins(email) }

// SetGroups puts a person into groups, in place of those they were in.
func (p *IDP) SetGroups(email string, groups ...string) { p.store.setGroups(email, groups) }

// SignIn returns a stand-in for the browser: it opens an authorization or device
// URL of this provider, presses the button of the named user (name or email), and
// follows the way back to the program that is waiting on the loopback address.
func (p *IDP) SignIn(user string) func(authURL string) error {
	return func(authURL string) error {
		if err := p.signIn(user, authURL); err != nil {
			return fmt.Errorf("sign in as %s: %w", user, err)
		}
		return nil
	}
}

func (p *IDP) signIn(user, authURL string) error {
	email := ""
	for _, u := range p.users {
		if u.Name == user || u.Email == user {
			email = u.Email
		}
	}
	if email == "" {
		return errors.New("nobody of that name at the demo's provider")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	// A transport of its own, so that no idle connection outlives the visit.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Jar: jar, Transport: transport, Timeout: requestLimit, CheckRedirect: stayOnLoopback}
	page, err := visit(client.Get(authURL))
	if err != nil {
		return err
	}
	if !strings.HasPrefix(page.String(), p.issuer+"/") {
		return fmt.Errorf("%s is not a page of %s", page.Host, p.issuer)
	}
	// The page's buttons post to the page's own address.
	_, err = visit(client.PostForm(page.String(), url.Values{"user": {email}}))
	return err
}

func stayOnLoopback(req *http.Request, via []*http.Request) error {
	if ip := net.ParseIP(req.URL.Hostname()); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("redirected away from this machine, to %s", req.URL.Host)
	}
	if len(via) > 10 {
		return errors.New("too many redirects")
	}
	return nil
}

// visit reads an answer to its end and gives the address where it was found.
func visit(resp *http.Response, err error) (*url.URL, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s answered %s: %.200s", resp.Request.URL.Path, resp.Status, strings.TrimSpace(string(body)))
	}
	return resp.Request.URL, nil
}
