package cmd

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
)

const noUpdates = "rules: [{name: frozen, when: 'statement.kind == \"update\" && connection.env == \"prod\"', effect: deny}]\n"

func TestReplayThereAndHere(t *testing.T) {
	w := newTown(t)
	for _, sql := range []string{"update people set age = 1 where id = 1", "update people set age = 1 where id = 2", "select 1"} {
		if code, _, errs := w.run(w.home, "", "exec", "orders", "-c", sql); code != 0 {
			t.Fatal(errs)
		}
	}
	path := filepath.Join(t.TempDir(), "new.yaml")
	put(t, path, noUpdates)
	record := filepath.Join(w.dir, "record")
	for name, args := range map[string][]string{
		"at the gateway":  nil,
		"from the record": {"--record", record, "--against", "built-in", "--env", "orders=prod"},
	} {
		code, out, errs := w.run(w.boss, "", append([]string{"policy", "replay", "--policy", path, "-o", "json"}, args...)...)
		var res api.ReplayResult
		if code != 0 || json.Unmarshal([]byte(out), &res) != nil {
			t.Fatalf("%s: %d, %s%s", name, code, out, errs)
		}
		if res.Changed != 2 || len(res.Changes) != 1 || res.Changes[0].What != "allow -> deny" || res.Changes[0].Count != 2 || res.Changes[0].ToRule != "frozen" || res.Unsure != 0 {
			t.Errorf("%s: %+v", name, res)
		}
		code, out, errs = w.run(w.boss, "", append([]string{"policy", "replay", "--policy", path}, args...)...)
		if code != 0 || !strings.Contains(out, "2 otherwise") || !strings.Contains(out, "allow -> deny  2") {
			t.Errorf("%s: %d, %s%s", name, code, out, errs)
		}
	}
	// What the files do not tell is said.
	code, out, errs := w.run(w.boss, "", "policy", "replay", "--policy", path, "--record", record, "--against", "built-in")
	if code != 0 || !strings.Contains(out, "2 that cannot be told") || !strings.Contains(out, "the connection is not configured") || !strings.Contains(out, "connection.env") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	put(t, path+".bad", "rules: [{name: a, when: statement.wrong, effect: deny}]")
	for want, args := range map[string][]string{
		"--policy is missing":                   {},
		"the policy cannot be read":             {"--policy", "no-such-file"},
		"line 1:":                               {"--policy", path + ".bad"},
		"which policy is in force":              {"--policy", path, "--record", record},
		"go with --record":                      {"--policy", path, "--env", "a=b"},
		"write a connection and its env":        {"--policy", path, "--record", record, "--against", "built-in", "--env", "prod"},
		"--since is":                            {"--policy", path, "--since", "30x"},
		"no such file or directory":             {"--policy", path, "--record", record + "x", "--against", "built-in"},
		`the configuration none.yaml cannot be`: {"--policy", path, "--record", record, "--config", "none.yaml"},
	} {
		if code, out, errs := w.run(w.boss, "", append([]string{"policy", "replay"}, args...)...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%v: %d, %s%s", args, code, out, errs)
		}
	}
}

func TestReadTimeInDays(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{"30d": now.AddDate(0, 0, -30), "24h": now.Add(-24 * time.Hour), "2026-01-02": time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)} {
		if got, err := readTime("since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"d", "-3d", "3.5d", "99999d"} {
		if got, err := readTime("since", text, now); err == nil {
			t.Errorf("%s is %v", text, got)
		}
	}
}
