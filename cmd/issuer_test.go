package cmd

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ciIssuer signs tokens as CI systems do, and has the door at which a job of GitHub
// asks for one.
type ciIssuer struct {
	*httptest.Server
	t      *testing.T
	key    *rsa.PrivateKey
	runner string         // secret of the runner
	claims map[string]any // of the job that runs
}

func newCIIssuer(t *testing.T) *ciIssuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	is := &ciIssuer{t: t, key: key, runner: rand.Text()}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": is.URL, "jwks_uri": is.URL + "/jwks"})
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "ci", Use: "sig", Algorithm: "RS256"}}})
	})
	mux.HandleFunc("/runner", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+is.runner || r.URL.Query().Get("api-version") != "2.0" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"count": 1, "value": is.token(r.URL.Query().Get("audience"), is.claims)})
	})
	is.Server = httptest.NewServer(mux)
	t.Cleanup(is.Close)
	return is
}

// token is one for an audience, as its system makes them.
func (is *ciIssuer) token(audience any, claims map[string]any) string {
	now := time.Now()
	all := map[string]any{"iss": is.URL, "aud": audience, "jti": rand.Text(), "iat": now.Unix(), "nbf": now.Unix() - 5, "exp": now.Add(5 * time.Minute).Unix()}
	maps.Copy(all, claims)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: is.key, KeyID: "ci"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		is.t.Error(err)
		return ""
	}
	body, err := json.Marshal(all)
	if err != nil {
		is.t.Error(err)
		return ""
	}
	obj, err := s.Sign(body)
	if err != nil {
		is.t.Error(err)
		return ""
	}
	raw, err := obj.CompactSerialize()
	if err != nil {
		is.t.Error(err)
	}
	return raw
}

// What the systems say of a job, in the shape of their documentation: GitHub's "OpenID
// Connect reference", GitLab's "OpenID Connect (OIDC) Authentication Using ID Tokens",
// Kubernetes' "Bound service account tokens".
var (
	gitHubClaims = map[string]any{
		"sub": "repo:acme/shop:environment:production", "environment": "production", "ref": "refs/heads/main", "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
		"repository": "acme/shop", "repository_owner": "acme", "actor_id": "12", "repository_visibility": "private", "repository_id": "74", "repository_owner_id": "65",
		"run_id": "1642100110", "run_number": "10", "run_attempt": "2", "runner_environment": "github-hosted", "actor": "ada", "workflow": "migrate",
		"head_ref": "", "base_ref": "", "event_name": "push", "ref_type": "branch", "ref_protected": "true",
		"job_workflow_ref": "acme/shop/.github/workflows/migrate.yml@refs/heads/main",
	}
	gitLabClaims = map[string]any{
		"sub": "project_path:acme/shop:ref_type:branch:ref:main", "namespace_id": "72", "namespace_path": "acme", "project_id": "20", "project_path": "acme/shop",
		"user_id": "1", "user_login": "ada", "user_email": "ada@example.com", "user_access_level": "developer", "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
		"ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true", "environment": "production", "environment_protected": "true",
		"deployment_tier": "production", "runner_id": 1, "runner_environment": "gitlab-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
		"project_visibility": "private", "ci_config_ref_uri": "gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main",
	}
	kubernetesClaims = map[string]any{
		"sub": "system:serviceaccount:shop:migrate",
		"kubernetes.io": map[string]any{
			"namespace":      "shop",
			"node":           map[string]any{"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
			"pod":            map[string]any{"name": "migrate-x7k2p", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
			"serviceaccount": map[string]any{"name": "migrate", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
		},
	}
)
