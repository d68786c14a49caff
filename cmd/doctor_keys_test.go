package cmd

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	sheets "github.com/sluicehq/sluice/internal/sheet"
)

// doctorKnows says under which check sluice doctor speaks of each key of gateway.yaml. A
// new key needs a check, and a line here: one that only its form can be wrong of is said by
// "config", which needs a reason.
var doctorKnows = map[string]string{
	"listen": "port", "data": "data", "hosts": "hosts", "tls.cert": "certificate", "tls.key": "hosts", "policy": "policy",
	"oidc.issuer": "issuer", "oidc.client_id": "client id", "oidc.client_secret": "client id", "oidc.scopes": "client id",
	"oidc.groups_claim": "groups", "oidc.domains": "groups",
	"oidc.groups_split":   "config", // a word of two
	"oidc.require_groups": "config", // yes or no
	"oidc.prompt":         "config", // a word of three
	"oidc.device":         "config", // yes or no
	"workloads[].issuer":  "workload", "workloads[].groups": "workload",
	"workloads[].audience": "config",                               // told apart from client_id there
	"workloads[].when":     "config",                               // compiled there
	"workloads[].name":     "config",                               // compiled there
	"workloads[].ttl":      "config",                               // bounded there
	"connections[].name":   "db", "connections[].groups": "config", // one that admits nobody is said there
	"connections[].env":           "config", // any word
	"connections[].database.host": "db", "connections[].database.port": "db", "connections[].database.name": "db", "connections[].database.user": "db",
	"connections[].database.password": "db", "connections[].database.sslmode": "db", "connections[].database.sslrootcert": "db",
	"approvals.wait": "approvals", "approvals.wait_in_transaction": "approvals",
	"approvals.webhooks[].url": "webhook", "approvals.webhooks[].secret": "webhook",
	"approvals.webhooks[].format": "config", // a word of three
	"record.durability":           "record", "record.pack": "retention", "record.keep": "retention", "record.literals": "literals",
	"witness.files": "witness", "witness.urls": "witness", "metrics.listen": "metrics",
	"exports[].name": "export", "exports[].to": "export", "exports[].secret": "export", "exports[].authorization": "export", "exports[].ca": "export",
	"exports[].format": "config", // a word of four
	"exports[].from":   "config", // a word of two
	"admins":           "rights", "auditors": "rights", "certificate": "logins",
	"limits.sessions": "limits", "limits.sessions_each": "limits",
	"limits.memory": "config", // bounded there
	"peers.key":     "peer", "peers.gateways": "peer",
	"triggers.listen": "hook", "triggers.runbooks": "hook", "triggers.hooks[].secret": "hook", "triggers.hooks[].runbooks": "hook", "triggers.hooks[].connection": "hook", "triggers.hooks[].owner.name": "hook",
	"triggers.hooks[].name": "config", "triggers.hooks[].owner.subject": "config", // a word; that it is there
	"triggers.hooks[].groups": "config",                                     // that the connection admits them
	"triggers.hooks[].set":    "config", "triggers.hooks[].allow": "config", // against each other
	"pseudonyms.key": "pseudonyms", "lineage.openlineage.url": "lineage", "lineage.openlineage.token": "lineage", "lineage.openlineage.file": "lineage", "lineage.openlineage.namespace": "lineage",
}

// configKeys are the keys that a struct of gateway.yaml takes.
func configKeys(of reflect.Type, path string) (keys []string) {
	for i := range of.NumField() {
		f := of.Field(i)
		at := path + f.Tag.Get("yaml")
		in := f.Type
		if in.Kind() == reflect.Slice && in.Elem().Kind() == reflect.Struct {
			at, in = at+"[]", in.Elem()
		}
		if in.Kind() == reflect.Struct && !reflect.PointerTo(in).Implements(reflect.TypeFor[sheets.Value]()) {
			keys = append(keys, configKeys(in, at+".")...)
			continue
		}
		keys = append(keys, at)
	}
	return keys
}

// Each key of gateway.yaml is one that doctor knows.
func TestDoctorKnowsEachKey(t *testing.T) {
	there := map[string]bool{}
	for _, key := range configKeys(reflect.TypeFor[gatewayConfig](), "") {
		there[key] = true
		if doctorKnows[key] == "" {
			t.Errorf("gateway.yaml takes %s, of which sluice doctor says nothing: give it a check, and a line in doctorKnows", key)
		}
	}
	for key := range doctorKnows {
		if !there[key] {
			t.Errorf("gateway.yaml does not take %s any more", key)
		}
	}
	if len(there) < 50 {
		t.Errorf("%d keys were found: this test looks at nothing", len(there))
	}
}

// everything is a gateway.yaml with every part, in which all is well, and what it refers to.
func everything(t *testing.T) (s *site, text, dir string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("doctor sends something") }))
	t.Cleanup(server.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	free := ln.Addr().String()
	must(t, ln.Close())
	dir = t.TempDir()
	s = newSite(t, "")
	whole, err := os.ReadFile(s.config)
	must(t, err)
	s.env["HOOK"], s.env["HOOK_KEY"], s.env["PSEUDONYMS"], s.env["TOKEN"] = server.URL+"/T0K3N", "k", strings.Repeat("k", 32), "t"
	s.env["TRIGGER"] = hookValue
	must(t, os.MkdirAll(filepath.Join(dir, "books"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "books", "rename.yaml"), []byte(nameBook), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte("rules:\n  - name: shown\n    when: 'true'\n    effect: allow\n    pseudonym: [email]\n"), 0o600))
	text = string(whole) + fmt.Sprintf(`policy: %[1]s/policy.yaml
hosts: [localhost]
workloads:
  - {issuer: %[2]s, audience: sluice://gw, when: 'claims.sub == "ci"', groups: [ci]}
approvals:
  wait: 10m
  wait_in_transaction: 1m
  webhooks:
    - {url: {env: HOOK}, secret: {env: HOOK_KEY}}
record: {durability: strict, pack: 7d, keep: 400d, literals: pseudonymise}
witness: {files: [%[1]s/seen], urls: [%[3]s]}
metrics: {listen: %[4]s}
exports:
  - {name: siem, to: %[3]s, format: ocsf, authorization: {env: TOKEN}}
  - {name: lake, to: 'file:%[1]s/lake.jsonl'}
admins: [dba]
auditors: [audit]
certificate: 8h
limits: {sessions: 50}
pseudonyms: {key: {env: PSEUDONYMS}}
lineage: {openlineage: {url: %[3]s, file: %[1]s/ol.jsonl, token: {env: TOKEN}}}
triggers:
  listen: 127.0.0.1:2
  runbooks: %[1]s/books
  hooks:
    - {name: tidy, secret: {env: TRIGGER}, owner: {subject: olga, name: olga@example.com}, groups: [support], connection: orders, runbooks: [rename]}
`, dir, s.idp.Issuer(), server.URL, free)
	return s, text, dir
}

// What is wrong with each part is said in one sentence under its check, with a hint; if all
// is well, each check says so.
func TestDoctorSaysWhatIsWrongWithEachPart(t *testing.T) {
	s, text, dir := everything(t)
	look := func(text string) (int, map[string]finding, string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "gateway.yaml")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		code, out, errs := runs(t.Context(), s.env, "doctor", "--config", path, "-o", "json")
		return code, toldOf(t, out), out + errs
	}
	// The first start makes keys and record; then one with another pair of eyes.
	data := strings.Fields(strings.SplitAfter(text, "data: ")[1])[0]
	oldRecord(t, data, houseConfig{})
	code, by, out := look(text)
	if code != exitOK {
		t.Fatalf("all is well, and yet: %d\n%s", code, out)
	}
	for key, check := range doctorKnows {
		found := check == "port" || check == "peer" // any port; another gateway must serve: TestPeersAreReadAndFound
		for name, f := range by {
			if name == check || strings.HasPrefix(name, check+" ") {
				found = true
				if f.State == stateProblem {
					t.Errorf("%s: %s", name, f.Sentence)
				}
			}
		}
		if !found {
			t.Errorf("%s: nothing is said under %q", key, check)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	go http.Serve(taken, http.NotFoundHandler()) //nolint:errcheck // ended with its listener
	must(t, os.WriteFile(filepath.Join(dir, "no.pem"), []byte("no certificate"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "strange"), []byte("not a checkpoint\n\n— x y\n\n"), 0o600))
	cut := func(old, new string) string {
		t.Helper()
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in the configuration", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for _, c := range []struct{ check, state, old, new, says string }{
		{"workload 1", stateProblem, "- {issuer: " + s.idp.Issuer(), "- {issuer: http://127.0.0.1:1", "nothing listens there"},
		{"webhook 1", stateProblem, "{env: HOOK}", "{env: NO_HOOK}", "NO_HOOK"},
		{"webhook 1", stateProblem, "secret: {env: HOOK_KEY}", "secret: {env: NO_KEY}", "NO_KEY"},
		{"approvals", stateWarning, "wait_in_transaction: 1m", "wait_in_transaction: 2h", "as long as 2h"},
		{"retention", stateWarning, "pack: 7d, keep: 400d", "pack: 30d, keep: 2d", "before they would be packed"},
		{"literals", stateWarning, "literals: pseudonymise", "literals: keep", "as they are"},
		{"witness", stateProblem, dir + "/seen", dir + "/none/seen", "cannot be written"},
		{"witness", stateProblem, dir + "/seen", dir + "/strange", "is not the record"},
		{"witness", stateWarning, dir + "/seen", data + "/seen", "lies in the data directory"},
		{"metrics", stateProblem, "metrics: {listen: ", "metrics: {listen: " + taken.Addr().String() + "} #", "answers /healthz with 404"},
		{"export siem", stateProblem, "authorization: {env: TOKEN}", "authorization: {env: NO_TOKEN}", "NO_TOKEN"},
		{"export siem", stateProblem, "authorization: {env: TOKEN}", "ca: " + dir + "/no.pem", "no certificate in the ca"},
		{"export lake", stateProblem, "file:" + dir + "/lake.jsonl", "file:" + dir + "/none/lake.jsonl", "cannot be written"},
		{"export lake", stateProblem, "file:" + dir + "/lake.jsonl", "syslog+tls://127.0.0.1:1", "cannot be reached"},
		{"export lake", stateProblem, "file:" + dir + "/lake.jsonl", "syslog+unix://" + dir + "/log", "no socket"},
		{"rights", stateWarning, "admins: [dba]\nauditors: [audit]\n", "", "nobody may read"},
		{"logins", stateWarning, "certificate: 8h", "certificate: 30d", "lasts 30d"},
		{"pseudonyms", stateProblem, "pseudonyms: {key: {env: PSEUDONYMS}}\n", "", "does not start"},
		{"pseudonyms", stateProblem, "{env: PSEUDONYMS}", "{env: TOKEN}", "1 characters"},
		{"pseudonyms", stateWarning, "policy: " + dir + "/policy.yaml\n", "", "no rule shows any"},
		{"lineage", stateProblem, dir + "/ol.jsonl", dir + "/none/ol.jsonl", "cannot be written"},
		{"hooks", stateProblem, "secret: {env: TRIGGER}", "secret: {env: NO_TRIGGER}", "NO_TRIGGER"},
		{"hook tidy", stateProblem, dir + "/books", dir + "/none", "none"},
		{"lineage", stateProblem, "token: {env: TOKEN}", "token: {env: NO_TOKEN}", "NO_TOKEN"},
	} {
		code, by, out := look(cut(c.old, c.new))
		if want := map[string]int{stateProblem: exitError, stateWarning: exitOK}[c.state]; code != want {
			t.Errorf("%s, %s: exit code %d\n%s", c.check, c.says, code, out)
		}
		want(t, by, c.check, c.state, c.says)
	}
	if runtime.GOOS != "windows" {
		must(t, os.Chmod(filepath.Join(data, literalsKey), 0o644))
		_, by, _ := look(text)
		want(t, by, "literals", stateProblem, "others on this machine can read")
		must(t, os.Chmod(filepath.Join(data, literalsKey), 0o600))
	}
	must(t, os.MkdirAll(filepath.Join(data, "exports"), 0o700))
	must(t, os.WriteFile(filepath.Join(data, "exports", "siem.json"), []byte(`{"seq":99}`), 0o600))
	_, by, _ = look(text)
	want(t, by, "export siem", stateProblem, "the record has only")
}
