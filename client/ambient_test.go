package client

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
)

// variables is an environment.
func variables(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}

func TestTokensOfAJobAreFoundInOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(" from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{EnvToken: "s", EnvIDToken: " i ", EnvIDTokenFile: file}
	for _, tt := range []struct {
		name, flag string
		env        map[string]string
		typ, want  string
	}{
		{"the flag", file, map[string]string{EnvToken: "s"}, api.TypeJWT, "from-file"},
		{"the file", "", all, api.TypeJWT, "from-file"},
		{"a token of ours", "", map[string]string{EnvToken: "s", EnvIDToken: "i"}, api.TypeSecret, "s"},
		{"a token of an issuer", "", map[string]string{EnvIDToken: " i "}, api.TypeJWT, "i"},
	} {
		a := Explicit(variables(tt.env), tt.flag)
		if a == nil || a.Type != tt.typ {
			t.Fatalf("%s: %+v", tt.name, a)
		}
		if got, err := a.token(t.Context(), "", time.Now()); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
	if a := Explicit(variables(nil), ""); a != nil {
		t.Errorf("found %s where nothing is", a.From)
	}
	nowhere := filepath.Join(t.TempDir(), "token")
	if a := FindAmbient(variables(map[string]string{envGitHubURL: "http://x"}), nowhere); a != nil {
		t.Errorf("half of GitHub's variables gave %s", a.From)
	}
	if a := FindAmbient(variables(map[string]string{envGitHubURL: "http://x", envGitHubToken: "y"}), file); a == nil || a.From != "GitHub Actions" || !a.asks {
		t.Errorf("GitHub: %+v", a)
	}
	if a := FindAmbient(variables(nil), file); a == nil || a.Type != api.TypeJWT {
		t.Errorf("a cluster: %+v", a)
	}
	if a := FindAmbient(variables(nil), filepath.Dir(file)); a != nil {
		t.Error("a directory is no token")
	}
}

func TestGitHubIsAskedForTheAudience(t *testing.T) {
	var answer func(w http.ResponseWriter, r *http.Request)
	runner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer runner.Close()
	a := FindAmbient(variables(map[string]string{envGitHubURL: runner.URL + "/?api-version=2.0", envGitHubToken: "secret-of-the-runner"}), "")
	answer = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"value":"%s.%s"}`, r.URL.Query().Get("audience")+r.URL.Query().Get("api-version"), r.Header.Get("Authorization"))
	}
	if got, err := a.token(t.Context(), "sluice://gw&x=1", time.Now()); err != nil || got != "sluice://gw&x=12.0.Bearer secret-of-the-runner" {
		t.Errorf("%q, %v", got, err)
	}
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	for name, f := range map[string]http.HandlerFunc{
		"refused":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"no JSON":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no value": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") },
		"without end": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"value":"`+strings.Repeat("x", maxAmbient)+`"}`)
		},
		"led elsewhere": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
	} {
		answer = f
		_, err := a.token(t.Context(), "a", time.Now())
		e, ok := api.AsError(err)
		if !ok || !strings.Contains(e.Hint, "id-token: write") || strings.Contains(e.Sentence, "secret-of-the-runner") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if elsewhere > 0 {
		t.Error("the runner's secret was taken elsewhere")
	}
}

func TestTokenThatIsWorthNothingIsNotSent(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
	}
	for name, tt := range map[string]struct{ token, want string }{
		"expired":     {jwt(`{"exp":1700000000}`), "has expired at 22:13:20 UTC"},
		"empty":       {" \n", "is empty"},
		"good":        {jwt(`{"exp":1700000001}`), ""},
		"no expiry":   {jwt(`{}`), ""}, // the gateway's to refuse, as all that follow
		"no claims":   {jwt(`[`), ""},
		"no token":    {"abc", ""},
		"far away":    {jwt(`{"exp":1e300}`), ""},
		"before time": {jwt(`{"exp":-1}`), ""},
	} {
		_, err := given("here", api.TypeJWT, tt.token).token(t.Context(), "", now)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, []byte(strings.Repeat("x", maxAmbient+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fileToken(long).token(t.Context(), "", now); err == nil {
		t.Error("a file without end was read")
	}
}
