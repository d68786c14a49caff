package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
)

// A job that outlasts its certificate gets another with the token that its cluster has
// put into the file by then; one that is still good is used as long as it is.
func TestJobRenewsItsCertificate(t *testing.T) {
	is := newCIIssuer(t)
	w := newTownOf(t, []identity.WorkloadConfig{{Issuer: is.URL, Audience: "sluice://gw", When: `claims.sub == "system:serviceaccount:shop:migrate"`, Groups: []string{"ci"}}}, func(*pgconn.Config) {})
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(is.token("sluice://gw", map[string]any{"sub": "system:serviceaccount:shop:migrate", "exp": time.Now().Add(time.Hour).Unix()}))
	var ahead atomic.Int64
	gw, err := client.OpenJob(t.Context(), client.JobOptions{
		Gateway: w.addr, Trust: client.Trust{Pin: w.house.fingerprint}, Ambient: client.Explicit(func(string) string { return "" }, file),
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	// at opens a stream after some time, and counts the certificates there were by then.
	at := func(after time.Duration) (int, error) {
		ahead.Store(int64(after))
		conn, err := gw.Stream(t.Context(), "orders", "")
		if err != nil {
			return 0, err
		}
		conn.Close()
		_, out, _ := w.run(w.boss, "", "audit", "query", "--kind", "login", "-o", "json")
		return strings.Count(out, `"credential"`), nil
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {10 * time.Minute, 1}, {14*time.Minute + 10*time.Second, 2}} {
		if n, err := at(tt.after); err != nil || n != tt.want {
			t.Errorf("after %s: %d certificates, want %d; %v", tt.after, n, tt.want, err)
		}
	}
	write(is.token("sluice://gw", map[string]any{"sub": "system:serviceaccount:shop:migrate", "exp": time.Now().Unix()}))
	if n, err := at(14*time.Minute + 50*time.Second); err != nil || n != 2 {
		t.Errorf("with a token that has expired: %d certificates; %v", n, err)
	}
	if _, err := at(16 * time.Minute); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("with nothing that is good: %v", err)
	}
}

// An issuer that is away stops neither the gateway nor those who need none.
func TestIssuerThatIsAwayStopsOnlyItsJobs(t *testing.T) {
	is := newCIIssuer(t)
	w := newTownOf(t, []identity.WorkloadConfig{{Issuer: "https://127.0.0.1:1", Audience: "sluice://gw", When: `claims.sub == "x"`}}, func(*pgconn.Config) {})
	if code, _, errs := w.run(w.home, "", "ls"); code != 0 {
		t.Errorf("a person: %s", errs)
	}
	var said strings.Builder
	a := &app{in: strings.NewReader(""), out: &said, err: &said, now: time.Now, env: func(name string) string {
		return map[string]string{
			"SLUICE_HOME": t.TempDir(), "SLUICE_GATEWAY": w.addr, "SLUICE_CA_PIN": w.house.fingerprint,
			"SLUICE_ID_TOKEN": is.token("sluice://gw", map[string]any{"sub": "x", "iss": "https://127.0.0.1:1"}),
		}[name]
	}}
	if code := a.run(t.Context(), []string{"ls"}); code != exitNotLoggedIn || !strings.Contains(said.String(), "keys cannot be had") || !strings.Contains(said.String(), "hint: try again") {
		t.Errorf("its job: %d %s", code, &said)
	}
}

// A file of locks that cannot be read stops the gateway: to go on would unlock everybody.
func TestGatewayDoesNotStartWithDamagedLocks(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "standing.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	_, err := (&app{now: time.Now}).openHouse(t.Context(), houseConfig{dir: dir, log: &said})
	sentence, hint, _ := explainError(err)
	if !strings.Contains(sentence, "who is locked cannot be told") || hint == "" {
		t.Errorf("%s; %s", sentence, hint)
	}
}
