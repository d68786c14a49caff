package approval

import (
	"testing"

	"github.com/sluicehq/sluice/identity"
)

// Every part is bound, and none can be moved into its neighbour.
func TestBindTellsApart(t *testing.T) {
	ana := person("ana")
	agent := ana
	agent.Kind, agent.Owner = identity.Agent, "bo"
	issuer := ana
	issuer.Issuer = "https://other.example.com"
	tests := []struct {
		attack        string
		sql           string
		params        []string
		who           identity.Identity
		session, conn string
	}{
		{"the ask itself", "UPDATE t SET a = $1", []string{"1", "2"}, ana, "s1", "orders"},
		{"another statement", "UPDATE t SET b = $1", []string{"1", "2"}, ana, "s1", "orders"},
		{"another case of the same statement", "update t SET a = $1", []string{"1", "2"}, ana, "s1", "orders"},
		{"other parameters", "UPDATE t SET a = $1", []string{"1", "3"}, ana, "s1", "orders"},
		{"parameters swapped", "UPDATE t SET a = $1", []string{"2", "1"}, ana, "s1", "orders"},
		{"parameters joined", "UPDATE t SET a = $1", []string{"12"}, ana, "s1", "orders"},
		{"parameter split elsewhere", "UPDATE t SET a = $1", []string{"", "12"}, ana, "s1", "orders"},
		{"parameter moved into the text", "UPDATE t SET a = $11", []string{"2"}, ana, "s1", "orders"},
		{"no parameters", "UPDATE t SET a = $1", nil, ana, "s1", "orders"},
		{"another person", "UPDATE t SET a = $1", []string{"1", "2"}, person("bo"), "s1", "orders"},
		{"the same subject of another issuer", "UPDATE t SET a = $1", []string{"1", "2"}, issuer, "s1", "orders"},
		{"an agent of that name", "UPDATE t SET a = $1", []string{"1", "2"}, agent, "s1", "orders"},
		{"another session", "UPDATE t SET a = $1", []string{"1", "2"}, ana, "s2", "orders"},
		{"another connection", "UPDATE t SET a = $1", []string{"1", "2"}, ana, "s1", "billing"},
		{"session and connection cut elsewhere", "UPDATE t SET a = $1", []string{"1", "2"}, ana, "s1o", "rders"},
	}
	seen := map[string]string{}
	for _, tt := range tests {
		hash := Bind(tt.sql, tt.params, tt.who, tt.session, tt.conn)
		if hash != Bind(tt.sql, tt.params, tt.who, tt.session, tt.conn) {
			t.Errorf("%s: the binding is not stable", tt.attack)
		}
		if other, ok := seen[hash]; ok {
			t.Errorf("%q is bound like %q", tt.attack, other)
		}
		seen[hash] = tt.attack
	}
}
