package mcp

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Attack: DNS rebinding (CVE-2026-9739): a page that somebody opened has a name point at
// 127.0.0.1 and talks to the port. And what else reaches a port on loopback: a page that
// is on no such trick, and a program that does not know the secret.
func TestDNSRebindingReachesNoTool(t *testing.T) {
	const secret = "abcdefghijklmnopqrstuvwxyz"
	h := only("7077", secret, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for name, tt := range map[string]struct {
		host, origin, site, auth string
		want                     int
	}{
		"a client":                 {host: "127.0.0.1:7077", auth: "Bearer " + secret, want: 200},
		"by name":                  {host: "LocalHost:7077", auth: "bearer " + secret, want: 200},
		"by IPv6":                  {host: "[::1]:7077", auth: "Bearer " + secret, want: 200},
		"rebound":                  {host: "evil.example:7077", auth: "Bearer " + secret, want: 403},
		"rebound, without port":    {host: "127.0.0.1", auth: "Bearer " + secret, want: 403},
		"another port":             {host: "127.0.0.1:80", auth: "Bearer " + secret, want: 403},
		"a name that ends so":      {host: "127.0.0.1:7077.evil.example", auth: "Bearer " + secret, want: 403},
		"a subdomain":              {host: "localhost.evil.example:7077", auth: "Bearer " + secret, want: 403},
		"no host":                  {host: "", auth: "Bearer " + secret, want: 403},
		"a page":                   {host: "127.0.0.1:7077", origin: "https://evil.example", auth: "Bearer " + secret, want: 403},
		"a page of this machine":   {host: "127.0.0.1:7077", origin: "http://localhost:3000", auth: "Bearer " + secret, want: 403},
		"a page in a sandbox":      {host: "127.0.0.1:7077", origin: "null", auth: "Bearer " + secret, want: 403},
		"a page without an origin": {host: "127.0.0.1:7077", site: "cross-site", auth: "Bearer " + secret, want: 403},
		"no secret":                {host: "127.0.0.1:7077", want: 401},
		"a wrong secret":           {host: "127.0.0.1:7077", auth: "Bearer abcdefghijklmnopqrstuvwxyy", want: 401},
		"a part of it":             {host: "127.0.0.1:7077", auth: "Bearer abc", want: 401},
		"another scheme":           {host: "127.0.0.1:7077", auth: "Basic " + secret, want: 401},
		"without a scheme":         {host: "127.0.0.1:7077", auth: secret, want: 401},
	} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
		r.Host = tt.host
		for header, value := range map[string]string{"Origin": tt.origin, "Sec-Fetch-Site": tt.site, "Authorization": tt.auth} {
			if value != "" {
				r.Header.Set(header, value)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, tt.want)
		}
	}
}

// Attack: serve the agent's rights to the network.
func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:7077": true, "127.9.9.9:1": true, "[::1]:7077": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:7077": false, ":7077": false, "[::]:7077": false, "192.168.1.2:7077": false, "localhost:7077": false, "localhost.evil.example:1": false, "127.0.0.1": false, "": false, "[fe80::1%lo]:1": false,
	} {
		if err := Loopback(addr); (err == nil) != ok {
			t.Errorf("%q: %v", addr, err)
		}
	}
}
