package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	// requestLifetime is how long somebody may look at the login page.
	requestLifetime = 10 * time.Minute
	// tokenLifetime covers the exchange for a client certificate, and no more.
	tokenLifetime = 10 * time.Minute
	// refreshLifetime is how long a login can be renewed without the person.
	refreshLifetime = 12 * time.Hour
	// pendingLimit bounds what a program that never finishes a login can make
	// this process remember.
	pendingLimit = 1000
)

var errUnknown = errors.New("not known here, or expired")

// idpStore is what the provider remembers, all of it in memory.
type idpStore struct {
	client idpClient
	key    signingKey

	mu      sync.Mutex                              // guards what follows
	users   []User                                  //
	logins  map[string]*authRequest                 // by request id
	codes   map[string]string                       // authorization code to request id
	devices map[string]*op.DeviceAuthorizationState // by device code
	byUser  map[string]string                       // user code to device code
	tokens  map[string]accessToken                  // by token id
	refresh map[string]*refreshGrant                // by refresh token
}

type accessToken struct {
	subject string
	expires time.Time
}

func newIDPStore(cfg Config) (*idpStore, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &idpStore{
		users: slices.Clone(cfg.Users), client: idpClient{id: cfg.ClientID}, key: signingKey{id: rand.Text(), key: key},
		logins: map[string]*authRequest{}, codes: map[string]string{}, tokens: map[string]accessToken{},
		devices: map[string]*op.DeviceAuthorizationState{}, byUser: map[string]string{},
		refresh: map[string]*refreshGrant{},
	}, nil
}

// user finds a person. The caller holds mu.
func (s *idpStore) user(email string) (User, bool) {
	i := slices.IndexFunc(s.users, func(u User) bool { return u.Email == email })
	if i < 0 {
		return User{}, false
	}
	return s.users[i], true
}

// everyone lists the people.
func (s *idpStore) everyone() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.users)
}

func (s *idpStore) setGroups(email string, groups []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.users {
		if s.users[i].Email == email {
			s.users[i].Groups = groups
		}
	}
}

// sweep forgets what has expired. The caller holds mu.
func (s *idpStore) sweep(now time.Time) {
	for id, r := range s.logins {
		if now.After(r.expires) {
			delete(s.logins, id)
		}
	}
	for code, id := range s.codes {
		if s.logins[id] == nil {
			delete(s.codes, code)
		}
	}
	for code, d := range s.devices {
		if now.After(d.Expires) {
			delete(s.devices, code)
		}
	}
	for user, code := range s.byUser {
		if s.devices[code] == nil {
			delete(s.byUser, user)
		}
	}
	for token, g := range s.refresh {
		if now.After(g.expires) {
			delete(s.refresh, token)
		}
	}
	for id, t := range s.tokens {
		if now.After(t.expires) {
			delete(s.tokens, id)
		}
	}
}

// finishLogin notes that the user pressed their button on the login page.
func (s *idpStore) finishLogin(id, email string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.logins[id]
	if _, known := s.user(email); !known || r == nil || time.Now().After(r.expires) || r.subject != "" {
		return errUnknown
	}
	r.subject, r.authTime = email, time.Now()
	return nil
}

// finishDevice notes that the user let the device with this code in.
func (s *idpStore) finishDevice(userCode, email string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[s.byUser[userCode]]
	if _, known := s.user(email); !known || d == nil || time.Now().After(d.Expires) {
		return errUnknown
	}
	delete(s.byUser, userCode) // a user code works once
	d.Subject, d.AuthTime, d.AMR, d.Done = email, time.Now(), []string{"demo"}, true
	return nil
}

func (s *idpStore) CreateAuthRequest(_ context.Context, req *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if req.CodeChallenge == "" || req.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("PKCE with S256 is required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.sweep(now)
	if len(s.logins) >= pendingLimit {
		return nil, oidc.ErrServerError().WithDescription("too many unfinished logins")
	}
	r := &authRequest{id: rand.Text(), req: *req, expires: now.Add(requestLifetime)}
	s.logins[r.id] = r
	return r.copy(), nil
}

func (s *idpStore) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.logins[id]
	if r == nil || time.Now().After(r.expires) {
		return nil, errUnknown
	}
	return r.copy(), nil
}

// AuthRequestByCode takes the code with it: a code is good for one attempt, also
// one that fails for a wrong verifier.
func (s *idpStore) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id, ok := s.codes[code]
	delete(s.codes, code)
	s.mu.Unlock()
	if !ok {
		return nil, errUnknown
	}
	return s.AuthRequestByID(ctx, id)
}

func (s *idpStore) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *idpStore) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.logins, id)
	return nil
}

func (s *idpStore) StoreDeviceAuthorization(_ context.Context, clientID, deviceCode, userCode string, expires time.Time, scopes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(time.Now())
	if len(s.devices) >= pendingLimit {
		return oidc.ErrServerError().WithDescription("too many unfinished logins")
	}
	if _, taken := s.byUser[userCode]; taken {
		return op.ErrDuplicateUserCode
	}
	s.devices[deviceCode] = &op.DeviceAuthorizationState{ClientID: clientID, Scopes: scopes, Expires: expires}
	s.byUser[userCode] = deviceCode
	return nil
}

// GetDeviceAuthorizatonState (the library's spelling) hands a finished login out
// once.
func (s *idpStore) GetDeviceAuthorizatonState(_ context.Context, clientID, deviceCode string) (*op.DeviceAuthorizationState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[deviceCode]
	if d == nil || d.ClientID != clientID {
		return nil, errUnknown
	}
	if d.Done {
		delete(s.devices, deviceCode)
	}
	state := *d
	return &state, nil
}

func (s *idpStore) CreateAccessToken(_ context.Context, req op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.sweep(now)
	if len(s.tokens) >= pendingLimit {
		return "", time.Time{}, oidc.ErrServerError().WithDescription("too many live tokens")
	}
	id, expires := rand.Text(), now.Add(tokenLifetime)
	s.tokens[id] = accessToken{subject: req.GetSubject(), expires: expires}
	return id, expires, nil
}

func (s *idpStore) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, req op.IDTokenRequest, _ []string) error {
	return s.describe(info, req.GetSubject())
}

func (s *idpStore) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, tokenID, subject, _ string) error {
	s.mu.Lock()
	t, ok := s.tokens[tokenID]
	s.mu.Unlock()
	if !ok || t.subject != subject || time.Now().After(t.expires) {
		return errUnknown
	}
	return s.describe(info, subject)
}

// describe puts every claim in every token, as many company providers do: what a
// person may do here never depends on the scopes a program thought of asking for.
func (s *idpStore) describe(info *oidc.UserInfo, subject string) error {
	s.mu.Lock()
	u, ok := s.user(subject)
	s.mu.Unlock()
	if !ok {
		return errUnknown
	}
	info.Subject, info.Name, info.PreferredUsername = u.Email, u.Name, u.Email
	info.Email, info.EmailVerified = u.Email, true
	info.AppendClaims("groups", append([]string{}, u.Groups...))
	return nil
}

func (s *idpStore) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.client.id {
		return nil, errUnknown
	}
	return s.client, nil
}

func (s *idpStore) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }
func (s *idpStore) KeySet(context.Context) ([]op.Key, error)          { return []op.Key{publicKey(s.key)}, nil }
func (s *idpStore) Health(context.Context) error                      { return nil }
func (s *idpStore) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

// CreateAccessAndRefreshTokens gives a refresh token that works once: it is replaced at
// each use, and whoever uses an old one ends the login, because somebody has stolen one.
func (s *idpStore) CreateAccessAndRefreshTokens(ctx context.Context, req op.TokenRequest, current string) (string, string, time.Time, error) {
	id, expires, err := s.CreateAccessToken(ctx, req)
	if err != nil {
		return "", "", time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	grant := &refreshGrant{client: s.client.id, subject: req.GetSubject(), scopes: req.GetScopes(), login: rand.Text(), authTime: time.Now()}
	if old, ok := req.(*refreshGrant); ok {
		kept := s.refresh[current]
		if kept == nil || kept.used {
			return "", "", time.Time{}, op.ErrInvalidRefreshToken // another use of it was quicker
		}
		kept.used = true
		grant.login, grant.authTime = old.login, old.authTime
	}
	if len(s.refresh) >= pendingLimit {
		return "", "", time.Time{}, oidc.ErrServerError().WithDescription("too many live refresh tokens")
	}
	grant.expires = time.Now().Add(refreshLifetime)
	token := rand.Text()
	s.refresh[token] = grant
	return id, token, expires, nil
}

func (s *idpStore) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.refresh[token]
	if g == nil || time.Now().After(g.expires) {
		return nil, op.ErrInvalidRefreshToken
	}
	if g.used {
		s.endLogin(g.login)
		return nil, op.ErrInvalidRefreshToken
	}
	return g.copy(), nil
}

// endLogin forgets all refresh tokens that came of one login. The caller holds mu.
func (s *idpStore) endLogin(login string) {
	for token, g := range s.refresh {
		if g.login == login {
			delete(s.refresh, token)
		}
	}
}

// endLogins is an administrator who ends every login of a person.
func (s *idpStore) endLogins(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, g := range s.refresh {
		if g.subject == subject {
			delete(s.refresh, token)
		}
	}
}

func (s *idpStore) GetRefreshTokenInfo(_ context.Context, _, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.refresh[token]; g != nil {
		return g.subject, token, nil
	}
	return "", "", op.ErrInvalidRefreshToken
}

// What follows is asked for by the library and not offered here: confidential
// clients, introspection, JWT assertions.

func (s *idpStore) AuthorizeClientIDSecret(context.Context, string, string) error { return errUnknown }
func (s *idpStore) TerminateSession(context.Context, string, string) error        { return nil }
func (s *idpStore) RevokeToken(_ context.Context, id, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, id)
	if g := s.refresh[id]; g != nil {
		s.endLogin(g.login)
	}
	return nil
}

func (s *idpStore) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil // the library says to leave it empty: SetUserinfoFromRequest does the work
}

func (s *idpStore) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errUnknown
}

func (s *idpStore) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

func (s *idpStore) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnknown
}

func (s *idpStore) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, oidc.ErrUnsupportedGrantType()
}
