package specimen

import (
	"encoding/base64"
	"fmt"
)

// secrets open something. Those without a form of their own only their name tells.
var secrets = []kind{
	{name: "api_key", types: []string{"secret"}, oid: oidText, make: func(m *maker) string {
		switch m.r.IntN(6) {
		case 0:
			return "sk_live_" + m.token(24)
		case 1:
			return "ghp_" + m.token(36)
		case 2:
			return "AKIA" + m.upper(8) + m.digits(4) + m.upper(4)
		case 3:
			return "xoxb-" + m.digits(11) + "-" + m.token(24)
		case 4:
			return "glpat-" + m.token(20)
		}
		return "AIza" + m.token(35)
	}},
	{name: "password_hash", types: []string{"secret"}, oid: oidText, like: "password", make: func(m *maker) string {
		switch m.r.IntN(5) {
		case 0:
			return "$argon2id$v=19$m=65536,t=3,p=4$" + m.token(22) + "$" + m.token(43)
		case 1:
			return "$6$" + m.token(8) + "$" + m.token(86)
		case 2:
			return "pbkdf2_sha256$600000$" + m.token(22) + "$" + m.token(43) + "="
		case 3:
			return "SCRAM-SHA-256$4096:" + m.token(22) + "==$" + m.token(43) + "=:" + m.token(43) + "="
		}
		return "$2b$12$" + m.token(53)
	}},
	{name: "password", types: []string{"secret"}, oid: oidText, byName: true, make: func(m *maker) string {
		return m.token(6+m.r.IntN(8)) + pick(m, []string{"!", "", "#1", "?"})
	}},
	{name: "private_key", types: []string{"secret"}, oid: oidText, like: "-", make: func(m *maker) string {
		kind := pick(m, []string{"RSA ", "EC ", "", "OPENSSH "})
		return "-----BEGIN " + kind + "PRIVATE KEY-----\n" + grouped(m.token(640), 64, "\n") + "\n-----END " + kind + "PRIVATE KEY-----"
	}},
	{name: "jwt", types: []string{"jwt", "secret"}, oid: oidText, like: "-", make: func(m *maker) string {
		enc := base64.RawURLEncoding.EncodeToString
		return enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc([]byte(`{"sub":"`+m.digits(8)+`","exp":17`+m.digits(8)+`}`)) + "." + m.token(43)
	}},
	{name: "session_token", types: []string{"secret"}, oid: oidText, like: "-", byName: true, make: func(m *maker) string { return m.token(40) }},
	{name: "dsn", types: []string{"secret"}, oid: oidText, like: "-", make: func(m *maker) string {
		return fmt.Sprintf("postgres://%s:%s@db%d.%s:5432/%s", m.lower(6), m.token(14), m.r.IntN(9), pick(m, m.set.domains), m.lower(5))
	}},
}
