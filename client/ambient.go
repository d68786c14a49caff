package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
)

// The variables that say how a job proves who it is. Those of GitHub are its own.
const (
	EnvToken       = "SLUICE_TOKEN"         // of sluice token create
	EnvIDToken     = "SLUICE_ID_TOKEN"      // a token of an issuer, as GitLab's id_tokens gives one
	EnvIDTokenFile = "SLUICE_ID_TOKEN_FILE" // a file with one, read again for each certificate
	EnvGateway     = "SLUICE_GATEWAY"
	EnvPin         = "SLUICE_CA_PIN" // fingerprint of the gateway's authority
	EnvAudience    = "SLUICE_AUDIENCE"
	envGitHubURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	envGitHubToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// ClusterToken is where a pod of a cluster finds its token for us, if it was mounted
// there. The pod's token for its own cluster lies elsewhere and is never read: whoever
// has it is the pod.
const ClusterToken = "/var/run/secrets/sluice/token"

// maxAmbient bounds a token and what an issuer answers.
const maxAmbient = 64 << 10

// Ambient is where a job has its token from.
type Ambient struct {
	From string // for people: "GitHub Actions"
	Type string // api.TypeJWT or api.TypeSecret

	read func(ctx context.Context, audience string) (string, error)
	asks bool // it makes a token for the audience it is asked for
}

// Explicit finds the token that a job was given by name: in the file, or in the
// environment. It is nil if there is none.
func Explicit(env func(string) string, file string) *Ambient {
	if file == "" {
		file = env(EnvIDTokenFile)
	}
	switch {
	case file != "":
		return fileToken(file)
	case env(EnvToken) != "":
		return given("the variable "+EnvToken, api.TypeSecret, env(EnvToken))
	case env(EnvIDToken) != "":
		return given("the variable "+EnvIDToken, api.TypeJWT, env(EnvIDToken))
	}
	return nil
}

// FindAmbient finds the token that a CI system or a cluster gives every job that may
// have one: where nobody is logged in. file is ClusterToken. It is nil if there is none.
func FindAmbient(env func(string) string, file string) *Ambient {
	if at := env(envGitHubURL); at != "" && env(envGitHubToken) != "" {
		return &Ambient{From: "GitHub Actions", Type: api.TypeJWT, asks: true, read: func(ctx context.Context, audience string) (string, error) {
			return gitHubToken(ctx, at, env(envGitHubToken), audience)
		}}
	}
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
		return fileToken(file)
	}
	return nil
}

func given(from, typ, token string) *Ambient {
	return &Ambient{From: from, Type: typ, read: func(context.Context, string) (string, error) { return strings.TrimSpace(token), nil }}
}

// fileToken reads the file each time: a kubelet writes a new token into it.
func fileToken(path string) *Ambient {
	return &Ambient{From: "the file " + path, Type: api.TypeJWT, read: func(context.Context, string) (string, error) {
		f, err := os.Open(path)
		if err != nil {
			return "", tokenFileError(path, err)
		}
		defer f.Close()
		body, err := io.ReadAll(io.LimitReader(f, maxAmbient+1))
		if err != nil {
			return "", tokenFileError(path, err)
		}
		if len(body) > maxAmbient {
			return "", tokenFileError(path, errors.New("it is too long for a token"))
		}
		return strings.TrimSpace(string(body)), nil
	}}
}

func tokenFileError(path string, err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	return &api.Error{Sentence: fmt.Sprintf("the token cannot be read from %s: %v", path, err), Hint: "check the path, and that the job mounts the token there", Code: api.CodeNotLoggedIn}
}

// gitHubToken asks GitHub's runner for a token for the audience.
func gitHubToken(ctx context.Context, at, bearer, audience string) (string, error) {
	bad := func(format string, args ...any) error {
		return &api.Error{Sentence: "GitHub gave no token for this job: " + fmt.Sprintf(format, args...), Hint: "the workflow needs permissions: {id-token: write}", Code: api.CodeNotLoggedIn}
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		return "", bad("%s is no URL", envGitHubURL)
	}
	q := u.Query()
	q.Set("audience", audience)
	u.RawQuery = q.Encode()
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", bad("%v", err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := ambientClient.Do(req)
	if err != nil {
		return "", bad("%v", errors.Unwrap(err)) // without the URL
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAmbient))
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", bad("it answers %s", resp.Status)
	}
	var out struct {
		Value string `json:"value"`
	}
	if json.Unmarshal(body, &out) != nil || out.Value == "" {
		return "", bad("its answer has no token")
	}
	return out.Value, nil
}

// ambientClient follows nobody elsewhere with the runner's secret, and keeps no
// connection: it is used once in a quarter of an hour.
var ambientClient = &http.Client{
	Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects") },
}

// token reads the job's token, and sees before it is sent that it is worth sending.
func (a *Ambient) token(ctx context.Context, audience string, now time.Time) (string, error) {
	raw, err := a.read(ctx, audience)
	if err != nil {
		return "", err
	}
	if raw == "" {
		return "", &api.Error{Sentence: "the job's token is empty, from " + a.From, Hint: "see docs/ci for how each system gives one", Code: api.CodeNotLoggedIn}
	}
	if a.Type != api.TypeJWT {
		return raw, nil
	}
	switch exp := expiry(raw); {
	case exp.IsZero() || now.Before(exp):
	default:
		return "", &api.Error{
			Sentence: fmt.Sprintf("the job's token from %s has expired at %s", a.From, exp.UTC().Format(time.TimeOnly)+" UTC"),
			Hint:     "this job lasts longer than its token: give it a longer one, or begin a new job", Code: api.CodeNotLoggedIn,
		}
	}
	return raw, nil
}

// expiry reads when a token ends, for a sentence: the gateway is who checks it.
func expiry(raw string) time.Time {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(body, &claims) != nil || claims.Exp <= 0 || claims.Exp > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0)
}
