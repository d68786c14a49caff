package gateway_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/tunnel"
)

// fort is a gateway that keeps locks and tokens, and its administrator.
type fort struct {
	*tunnelled
	standing *identity.Standing
	boss     *client.Gateway
}

func guard(t *testing.T, change ...func(*gateway.Config)) *fort {
	t.Helper()
	gu := &fort{}
	var err error
	path := filepath.Join(t.TempDir(), "standing.json")
	if gu.standing, err = identity.OpenStanding(path, time.Now); err != nil {
		t.Fatal(err)
	}
	gu.tunnelled = serveOn(t, func(own func(*gateway.Config)) *through {
		return start(t, "dev", shop, nil, append(change, own, func(cfg *gateway.Config) { cfg.Standing = gu.standing })...)
	})
	gu.boss = gu.login(person("boss", "admin"))
	return gu
}

// over opens a database session in the tunnel of gw.
func over(t *testing.T, gw *client.Gateway) (*pgx.Conn, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig("postgres://me@127.0.0.1/orders?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return gw.Stream(ctx, "orders", "") }
	return pgx.ConnectConfig(t.Context(), cfg)
}

// asked sends one control message in a tunnel, and reads the answer into out.
func asked(t testing.TB, sess *tunnel.Session, method, path string, in, out any) (int, api.Error) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	status, data := sent(t, sess, method, path, body)
	var no api.Error
	if status >= 300 {
		out = &no
	}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatalf("%s %s: %q: %v", method, path, data, err)
	}
	return status, no
}

// exchanged trades a token for a certificate, and opens the gateway with it.
func (gu *fort) exchanged(typ, token string) (api.TokenExchanged, api.Error, *tunnel.Session) {
	gu.t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		gu.t.Fatal(err)
	}
	pub, err := identity.EncodePublicKey(&key.PublicKey)
	if err != nil {
		gu.t.Fatal(err)
	}
	var out api.TokenExchanged
	status, no := asked(gu.t, gu.bare(), "POST", api.TokenPath, api.TokenExchange{GrantType: api.GrantExchange, SubjectToken: token, SubjectTokenType: typ, PublicKeyPEM: string(pub)}, &out)
	if status != 200 {
		return out, no, nil
	}
	keyPEM, err := identity.EncodeKey(key)
	if err != nil {
		gu.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(out.AccessToken), keyPEM)
	if err != nil {
		gu.t.Fatal(err)
	}
	return out, no, gu.bare(pair)
}

// ended waits until a session of the tunnel has ended, and says how long that took.
func ended(t *testing.T, since time.Time, closed <-chan struct{}) time.Duration {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the tunnel is still open after 10 s")
	}
	return time.Since(since)
}

// Attack: go on with a session, a tunnel or an agent after having been locked out.
func TestLockCutsEverythingOfAPersonAndHolds(t *testing.T) {
	gu := guard(t)
	ada, bob := gu.login(person("ada", "dev")), gu.login(person("bob", "dev"))
	made, code := call[api.TokenMade](t, ada, "POST", api.TokensPath, api.TokenRequest{Kind: "agent", Name: "claude"})
	if code != 0 {
		t.Fatalf("an agent's token: %d", code)
	}
	_, _, agent := gu.exchanged(api.TypeSecret, made.Secret)
	conn, err := over(t, ada)
	if err != nil {
		t.Fatal(err)
	}
	other, err := over(t, bob)
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "select pg_sleep(60)")
		running <- err
	}()
	gu.sleeping(t, 1)
	begun := time.Now()
	out, code := call[api.Revoked](t, gu.boss, "POST", api.UserLockPath, api.UserLock{Name: "ADA@example.com", Reason: "laptop lost"})
	if code != 0 || out.Sessions != 1 || out.Tunnels != 2 {
		t.Errorf("locked: %d %+v", code, out)
	}
	ended(t, begun, agent.Closed())
	err = <-running
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "57P01" || !strings.Contains(pg.Message, "laptop lost") || !strings.Contains(pg.Hint, "boss@example.com") {
		t.Errorf("the session was told %v", err)
	}
	if _, err := over(t, ada); err == nil || !strings.Contains(err.Error(), "laptop lost") {
		t.Errorf("a new session: %v", err)
	}
	if _, code := call[api.WhoAmI](t, ada, "GET", api.WhoAmIPath, nil); code != api.CodeNotLoggedIn {
		t.Errorf("a control message: %d", code)
	}
	if _, no, _ := gu.exchanged(api.TypeSecret, made.Secret); no.Code != api.CodeNotLoggedIn || !strings.Contains(no.Sentence, "laptop lost") {
		t.Errorf("the agent's token: %+v", no)
	}
	if err := other.Ping(t.Context()); err != nil {
		t.Errorf("somebody else was cut too: %v", err)
	}
	list, code := call[[]api.User](t, gu.boss, "GET", api.UsersPath, nil)
	if code != 0 || !strings.Contains(list[0].Name, "ADA") || !list[0].Locked || list[0].By != "boss@example.com" {
		t.Errorf("users: %d %+v", code, list)
	}
	if _, code := call[api.User](t, gu.boss, "POST", api.UserUnlockPath, api.UserLock{Name: "ada@example.com"}); code != 0 {
		t.Errorf("unlock: %d", code)
	}
	if c, err := over(t, ada); err != nil {
		t.Errorf("after unlock: %v", err)
	} else {
		c.Close(t.Context())
	}
	var said []string
	for _, ev := range gu.events(audit.Admin) {
		said = append(said, ev.Detail+" "+ev.Reason)
	}
	if s := strings.Join(said, "\n"); !strings.Contains(s, "locked ADA@example.com; 1 sessions and 2 tunnels ended laptop lost") || !strings.Contains(s, "unlocked ada@example.com") {
		t.Errorf("the record has\n%s", s)
	}
}

func TestRevokedCertificateIsCutAndRefused(t *testing.T) {
	gu := guard(t)
	ada := gu.login(person("ada", "dev"))
	me, _ := call[api.WhoAmI](t, ada, "GET", api.WhoAmIPath, nil)
	if me.Credential == "" {
		t.Fatal("whoami does not say the certificate")
	}
	conn, err := over(t, ada)
	if err != nil {
		t.Fatal(err)
	}
	path := strings.Replace(api.TokenRevokePath, "{id}", me.Credential, 1)
	if _, code := call[api.Revoked](t, ada, "POST", path, api.Reason{}); code != api.CodeRefused {
		t.Errorf("ada revoked a certificate: %d", code)
	}
	out, code := call[api.Revoked](t, gu.boss, "POST", path, api.Reason{Reason: "copied"})
	if code != 0 || out.Sessions != 1 || out.Tunnels != 1 {
		t.Errorf("revoked: %d %+v", code, out)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("its session goes on")
	}
	eventually(t, "the record says why the session ended", func() bool {
		list := gu.events(audit.Closed)
		return len(list) == 1 && list[0].Detail == "this certificate was revoked" && list[0].Credential == me.Credential
	})
	if _, err := over(t, ada); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a new session: %v", err)
	}
	if c, err := over(t, gu.login(person("ada", "dev"))); err != nil {
		t.Errorf("the same person with another certificate: %v", err)
	} else {
		c.Close(t.Context())
	}
	boss, _ := call[api.WhoAmI](t, gu.boss, "GET", api.WhoAmIPath, nil)
	for id, want := range map[string]int{boss.Credential: api.CodeUsage, "nothing": api.CodeError, "t-aaaaaaaaaaaa": api.CodeError, "%20": api.CodeError} {
		if _, code := call[api.Revoked](t, gu.boss, "POST", strings.Replace(api.TokenRevokePath, "{id}", id, 1), api.Reason{}); code != want {
			t.Errorf("revoke %q: %d, want %d", id, code, want)
		}
	}
}

// PEERS C, objects bound across scopes: who may make which tokens, and what they open.
func TestTokensHaveTheRightsOfTheirMakerAtMost(t *testing.T) {
	gu := guard(t, func(cfg *gateway.Config) {
		closed := cfg.Connections[0]
		closed.Name, closed.Groups = "pay", []string{"payments"}
		cfg.Connections = append(cfg.Connections, closed)
	})
	ada := gu.login(person("ada", "dev", "support"))
	agentMade, _ := call[api.TokenMade](t, ada, "POST", api.TokensPath, api.TokenRequest{Kind: "agent", Name: "claude", Groups: []string{"dev"}})
	out, _, agent := gu.exchanged(api.TypeSecret, agentMade.Secret)
	if out.Identity.Kind != "agent" || out.Identity.Name != "claude for ada@example.com" || out.Identity.Owner != "ada" || strings.Join(out.Identity.Groups, " ") != "dev" || out.ExpiresIn > 900 {
		t.Errorf("the agent is %+v for %d s", out.Identity, out.ExpiresIn)
	}
	for name, c := range map[string]struct {
		by   any
		in   api.TokenRequest
		want int
	}{
		"what one may open":                      {ada, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders"}}, 0},
		"what one may not open":                  {ada, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders", "pay"}}, api.CodeRefused},
		"what an administrator may not open":     {gu.boss, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"pay"}}, 0},
		"what does not exist":                    {gu.boss, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"nothing"}}, api.CodeRefused},
		"an administrator's agent beyond them":   {gu.boss, api.TokenRequest{Kind: "agent", Name: "x", Connections: []string{"pay"}}, api.CodeRefused},
		"a job of no connection":                 {ada, api.TokenRequest{Kind: "job", Name: "ci"}, api.CodeUsage},
		"a group that one is not in":             {ada, api.TokenRequest{Kind: "agent", Name: "x", Groups: []string{"admin"}}, api.CodeRefused},
		"a person":                               {ada, api.TokenRequest{Kind: "person", Name: "x", Connections: []string{"orders"}}, api.CodeUsage},
		"no kind":                                {ada, api.TokenRequest{Name: "x", Connections: []string{"orders"}}, api.CodeUsage},
		"no name":                                {ada, api.TokenRequest{Kind: "job", Connections: []string{"orders"}}, api.CodeError},
		"longer than a day":                      {ada, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders"}, TTL: 25 * time.Hour}, api.CodeUsage},
		"a time before now":                      {ada, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders"}, TTL: -1}, api.CodeUsage},
		"more uses than there are":               {ada, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders"}, Uses: -1}, api.CodeUsage},
		"a token of an agent (nested trust)":     {agent, api.TokenRequest{Kind: "agent", Name: "x"}, api.CodeRefused},
		"a token of an agent for a job (nested)": {agent, api.TokenRequest{Kind: "job", Name: "x", Connections: []string{"orders"}}, api.CodeRefused},
	} {
		var code int
		var made api.TokenMade
		switch by := c.by.(type) {
		case *client.Gateway:
			made, code = call[api.TokenMade](t, by, "POST", api.TokensPath, c.in)
		case *tunnel.Session:
			var no api.Error
			_, no = asked(t, by, "POST", api.TokensPath, c.in, &made)
			code = no.Code
		}
		if code != c.want || (made.Secret != "") != (c.want == 0) {
			t.Errorf("%s: %d, want %d", name, code, c.want)
		}
		if c.want == 0 && c.by == any(ada) && made.Token.Expires.After(time.Now().Add(time.Hour+time.Minute)) {
			t.Errorf("%s: good beyond its maker's login: %s", name, made.Token.Expires)
		}
	}
	if mine, code := call[[]api.Token](t, ada, "GET", api.TokensPath, nil); code != 0 || len(mine) != 2 {
		t.Errorf("ada sees %d tokens", len(mine))
	}
	var none []api.Token
	if status, _ := asked(t, agent, "GET", api.TokensPath, nil, &none); status != 200 || len(none) != 0 {
		t.Errorf("the agent sees its owner's tokens: %v", none)
	}
	if all, _ := call[[]api.Token](t, gu.boss, "GET", api.TokensPath, nil); len(all) != 3 {
		t.Errorf("the administrator sees %d", len(all))
	}
	bob := gu.login(person("bob", "dev"))
	path := strings.Replace(api.TokenRevokePath, "{id}", agentMade.Token.ID, 1)
	if _, code := call[api.Revoked](t, bob, "POST", path, api.Reason{}); code != api.CodeRefused {
		t.Errorf("bob revoked ada's token: %d", code)
	}
	begun := time.Now()
	if out, code := call[api.Revoked](t, ada, "POST", path, api.Reason{}); code != 0 || out.Tunnels != 1 {
		t.Errorf("ada's own: %d %+v", code, out)
	}
	ended(t, begun, agent.Closed())
	for _, name := range []string{"lock", "unlock", "ls"} {
		path, method := map[string]string{"lock": api.UserLockPath, "unlock": api.UserUnlockPath, "ls": api.UsersPath}[name], map[bool]string{true: "GET", false: "POST"}[name == "ls"]
		if _, code := call[any](t, ada, method, path, map[bool]any{true: nil, false: api.UserLock{Name: "bob"}}[name == "ls"]); code != api.CodeRefused {
			t.Errorf("ada may %s users: %d", name, code)
		}
	}
	if _, code := call[api.Revoked](t, gu.boss, "POST", api.UserLockPath, api.UserLock{Name: "BOSS"}); code != api.CodeUsage {
		t.Errorf("an administrator locked themselves out: %d", code)
	}
}

// Attack: use a job's token for another connection, twice, or as something else.
func TestJobTokenOpensItsConnectionOnceAndNothingElse(t *testing.T) {
	gu := guard(t, func(cfg *gateway.Config) {
		other := cfg.Connections[0]
		other.Name = "other"
		cfg.Connections = append(cfg.Connections, other)
	})
	made, code := call[api.TokenMade](t, gu.boss, "POST", api.TokensPath, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders"}})
	if code != 0 {
		t.Fatal(code)
	}
	for name, in := range map[string][2]string{"as a JWT": {api.TypeJWT, made.Secret}, "as a certificate": {api.TypeCertificate, made.Secret}, "as nothing": {"", made.Secret}, "its id": {api.TypeSecret, made.Token.ID}} {
		if _, no, _ := gu.exchanged(in[0], in[1]); no.Code == 0 || no.Hint == "" {
			t.Errorf("%s: %+v", name, no)
		}
	}
	out, _, job := gu.exchanged(api.TypeSecret, made.Secret)
	if job == nil || out.Identity.Kind != "job" || out.Identity.Name != "ci for boss@example.com" || out.TokenType != "N_A" || out.IssuedTokenType != api.TypeCertificate {
		t.Fatalf("%+v", out)
	}
	var list []api.Connection
	if status, _ := asked(t, job, "GET", api.ConnectionsPath, nil, &list); status != 200 || len(list) != 1 || list[0].Name != "orders" {
		t.Errorf("it sees %+v", list)
	}
	if _, err := job.Open(t.Context(), tunnel.Header{Kind: tunnel.Postgres, Connection: "other"}); err == nil {
		t.Error("it opens another connection")
	}
	if _, no, _ := gu.exchanged(api.TypeSecret, made.Secret); no.Code != api.CodeNotLoggedIn || !strings.Contains(no.Sentence, "used as often") {
		t.Errorf("a second use: %+v", no)
	}
	var users []api.User
	if status, _ := asked(t, job, "GET", api.UsersPath, nil, &users); status == 200 {
		t.Error("a job in the administrators' group is an administrator")
	}
	found := false
	for _, ev := range gu.events(audit.LoggedIn) {
		found = found || ev.Outcome == "ok" && ev.Owner == "boss" && ev.CallerKind == "job" && ev.Credential != "" && strings.Contains(ev.Detail, made.Token.ID)
	}
	if !found {
		t.Error("the record does not say whose token, which certificate and which job")
	}
}

// Attack: an agent approves what its owner asked, or the owner what the agent asked.
func TestAgentsApproveNothingAndOwnersNotTheirAgents(t *testing.T) {
	gu := guard(t)
	dba := gu.login(person("dan", "dba"))
	made, _ := call[api.TokenMade](t, dba, "POST", api.TokensPath, api.TokenRequest{Kind: "agent", Name: "claude"})
	_, _, agent := gu.exchanged(api.TypeSecret, made.Secret)
	held := make(chan error, 1)
	owner, err := over(t, gu.login(person("dan", "dba")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go func() {
		_, err := owner.Exec(ctx, "do $$ begin execute (select name from cities limit 1); end $$")
		held <- err
	}()
	var list []api.Ask
	eventually(t, "the statement is held", func() bool {
		_, no := asked(t, agent, "GET", api.AsksPath, nil, &list)
		mine, _ := call[[]api.Ask](t, dba, "GET", api.AsksPath, nil)
		list = mine
		select {
		case err := <-held:
			t.Fatalf("it was not held: %v", err)
		default:
		}
		return no.Code == 0 && len(mine) == 1
	})
	if _, no := asked(t, agent, "POST", strings.Replace(api.AskPath, "{id}", list[0].ID, 1), api.AskDecision{Grant: true}, &api.Ask{}); no.Code != api.CodeRefused || !strings.Contains(no.Sentence, "only people") {
		t.Errorf("the agent's vote: %+v", no)
	}
	leave()
	<-held
	owner.Close(t.Context())
}

func TestExchangeOfGarbage(t *testing.T) {
	gu := guard(t)
	key := []byte(`{"grant_type":"` + api.GrantExchange + `","subject_token":"x","subject_token_type":"` + api.TypeJWT + `","public_key":"`)
	for name, body := range map[string][]byte{
		"nothing": nil, "no JSON": []byte("{"), "no grant": []byte("{}"), "no key": append(key, `"}`...), "another grant": []byte(`{"grant_type":"client_credentials"}`),
		"more than fits": append(append(key, strings.Repeat("A", api.MaxOpenRequest)...), `"}`...),
	} {
		if status, no := post(t, gu.bare(), "POST", api.TokenPath, body); status == 200 || no.Hint == "" {
			t.Errorf("%s: %d %+v", name, status, no)
		}
	}
	// Without workloads, a job's token is answered in words.
	if _, no, _ := gu.exchanged(api.TypeJWT, "a.b.c"); !strings.Contains(no.Hint, "workloads") {
		t.Errorf("%+v", no)
	}
}

// PEERS C, identity spoofing by header: what a caller says of itself counts nowhere.
func TestIdentityIsOnlyInTheCertificate(t *testing.T) {
	gu := guard(t)
	made, _ := call[api.TokenMade](t, gu.boss, "POST", api.TokensPath, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders"}})
	_, _, job := gu.exchanged(api.TypeSecret, made.Secret)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return job.Open(ctx, tunnel.Header{Kind: tunnel.API, Connection: "boss", Application: "boss"})
	}}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://boss@gateway"+api.WhoAmIPath+"?user=boss", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Forwarded-User", "X-Remote-User", "X-Forwarded-Email", "Remote-User", "X-Sluice-User", "Forwarded", "Authorization", "Cookie"} {
		req.Header.Set(name, "boss")
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var me api.WhoAmI
	if err := json.NewDecoder(resp.Body).Decode(&me); err != nil || me.Kind != "job" || me.Subject != "job:ci:boss" {
		t.Errorf("%+v, %v", me, err)
	}
}

// PEERS C, replayed first-use token and certificate bound to its key: a certificate
// that was seen on its way is worth nothing without the key, and a token without its
// use.
func TestCertificateOfAnotherKeyOpensNothing(t *testing.T) {
	gu := guard(t)
	made, _ := call[api.TokenMade](t, gu.boss, "POST", api.TokensPath, api.TokenRequest{Kind: "job", Name: "ci", Connections: []string{"orders"}})
	out, _, _ := gu.exchanged(api.TypeSecret, made.Secret)
	thief, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(out.AccessToken))
	sess, err := tunnel.Dial(t.Context(), gu.addr, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: thief}}}, tunnel.Config{})
	if err == nil {
		defer sess.Close()
		if conn, oerr := sess.Open(t.Context(), tunnel.Header{Kind: tunnel.API}); oerr == nil {
			conn.Close()
			t.Error("a certificate opens the gateway without its key")
		}
	}
}
