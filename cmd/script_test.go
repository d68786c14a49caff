package cmd

import (
	"bytes"
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
)

// The scenarios of testdata/script, in a town of their own each. Who does something is
// the verb: "ada exec orders -c …" is sluice as Ada. job and agent are nobody who is
// logged in, with what the script has put into the environment. keep NAME [PATTERN] puts
// what was printed last, or the pattern's group of it, into a variable; token NAME makes a token of an issuer of jobs; typed LINE…
// is what the next command reads.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			is := newCIIssuer(t)
			is.claims = gitHubClaims
			w := newTownOf(t, []identity.WorkloadConfig{{
				Issuer: is.URL, Audience: "sluice://gw", When: `claims.repository == "acme/shop"`, Groups: []string{"ci"}, Name: "{repository}@{ref}",
			}}, func(*pgconn.Config) {}, "pay")
			homes := map[string]string{"ada": w.home, "boss": w.boss, "dan": t.TempDir(), "job": t.TempDir(), "agent": t.TempDir()}
			dan := identity.Identity{Subject: "dan", Email: "dan@example.com", Kind: identity.Person, Method: "test", Groups: []string{"dba"}}
			if err := w.house.admit(client.NewStore(homes["dan"], time.Now), w.addr, dan, time.Hour); err != nil {
				t.Fatal(err)
			}
			typed := ""
			cmds := map[string]func(*testscript.TestScript, bool, []string){"keep": keep, "token": is.give, "typed": func(_ *testscript.TestScript, _ bool, lines []string) {
				typed = strings.Join(append(lines, ""), "\n")
			}}
			for who, home := range homes {
				cmds[who] = as(home, who == "job" || who == "agent", &typed)
			}
			testscript.Run(t, testscript.Params{Files: []string{file}, Cmds: cmds, Setup: func(env *testscript.Env) error {
				env.Setenv("SLUICE_GATEWAY", w.addr)
				env.Setenv("SLUICE_CA_PIN", w.house.fingerprint)
				return nil
			}})
		})
	}
}

// as is one command as whoever has that home. People have nothing of a job's environment.
func as(home string, program bool, typed *string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		var out, errs bytes.Buffer
		in := strings.NewReader(*typed)
		*typed = ""
		a := &app{in: in, out: &out, err: &errs, now: time.Now, env: func(name string) string {
			if name == "SLUICE_HOME" {
				return home
			}
			if !program {
				return ""
			}
			return ts.Getenv(name)
		}}
		code := a.run(context.Background(), args)
		ts.Stdout().Write(out.Bytes())
		ts.Stderr().Write(errs.Bytes())
		if (code != 0) != neg {
			ts.Fatalf("it ended with %d", code)
		}
		if code != 0 && !strings.Contains(errs.String(), "hint:") {
			ts.Fatalf("an error without a hint: %s", &errs)
		}
	}
}

func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: keep NAME [PATTERN]")
	}
	text := strings.TrimSpace(ts.ReadFile("stdout"))
	if len(args) == 2 {
		found := regexp.MustCompile(args[1]).FindStringSubmatch(text)
		if len(found) != 2 {
			ts.Fatalf("%s is not in what was printed", args[1])
		}
		text = found[1]
	}
	ts.Setenv(args[0], text)
}

// give puts a token for an audience into a variable, with a claim changed: token NAME
// AUDIENCE [CLAIM VALUE].
func (is *ciIssuer) give(ts *testscript.TestScript, neg bool, args []string) {
	claims := map[string]any{}
	for name, value := range gitHubClaims {
		claims[name] = value
	}
	if neg || len(args) != 2 && len(args) != 4 {
		ts.Fatalf("usage: token NAME AUDIENCE [CLAIM VALUE]")
	}
	if len(args) == 4 {
		claims[args[2]] = args[3]
	}
	ts.Setenv(args[0], is.token(args[1], claims))
}
