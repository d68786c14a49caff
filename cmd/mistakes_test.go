package cmd

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// everyCommand is each command with its words, without those that cobra brings along.
func everyCommand(t *testing.T) (list []*cobra.Command) {
	t.Helper()
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() != "completion" && sub.Name() != "help" {
				list = append(list, sub)
				walk(sub)
			}
		}
	}
	walk((&app{now: time.Now}).root())
	if len(list) < 50 {
		t.Fatalf("only %d commands", len(list))
	}
	return list
}

// What a newcomer gets wrong is one sentence in lower case and a hint that leads on: every
// command's help helps, and a flag or an argument that it does not take, or one that is
// missing, ends with exit code 2 and the way to that help.
func TestMistakesOfNewcomers(t *testing.T) {
	home := t.TempDir()
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &errs, now: time.Now, env: func(name string) string {
			return map[string]string{"SLUICE_HOME": home}[name]
		}}
		return a.run(t.Context(), args), out.String(), errs.String()
	}
	said := regexp.MustCompile(`^error: [^A-Z\n][^\n]*[^.\n]\nhint: see: (sluice [^\n]*) --help\n$`)
	check := func(c *cobra.Command, why string, more ...string) {
		t.Helper()
		code, out, errs := run(append(strings.Fields(c.CommandPath())[1:], more...)...)
		m := said.FindStringSubmatch(errs)
		if code != exitUsage || out != "" || m == nil || m[1] != c.CommandPath() || strings.Contains(errs, "arg(s)") {
			t.Errorf("%s, %s: %d %s%s", c.CommandPath(), why, code, out, errs)
		}
	}
	for _, c := range everyCommand(t) {
		code, out, errs := run(append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if code != exitOK || errs != "" || !strings.Contains(out, "Usage:") || !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s --help: %d %s%s", c.CommandPath(), code, out, errs)
		}
		check(c, "a flag that there is not", "--no-such-flag")
		if c.Args == nil {
			continue
		}
		if c.Args(c, nil) != nil {
			check(c, "nothing")
		}
		if c.Args(c, []string{"a", "b", "c"}) != nil {
			check(c, "too much", "a", "b", "c")
		}
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"audit", "show"}, exitUsage, "error: sluice audit show needs ID\n"},
		{[]string{"whoami", "ada"}, exitUsage, `error: sluice whoami takes no argument, and got "ada"`},
		{[]string{"audit", "verify", "a", "b"}, exitUsage, "error: sluice audit verify takes one argument, FILE, and got 2\n"},
		{[]string{"exce"}, exitUsage, "did you mean \"exec\"?\nhint: see: sluice help\n"},
		{[]string{"audit", "report"}, exitUsage, `error: --for is ""; known are`},
		{[]string{"audit", "verify", "--record", home}, exitError, "error: there is no record in " + home},
		{[]string{"ls"}, exitNotLoggedIn, "error: not logged in to any gateway\nhint: run: sluice login GATEWAY\n"},
	} {
		if code, _, errs := run(tt.args...); code != tt.code || !strings.Contains(errs, tt.want) || !strings.Contains(errs, "\nhint: ") {
			t.Errorf("%q: %d %s", tt.args, code, errs)
		}
	}
}
