package policy

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected outputs")

// TestLoadProblems loads a file in which everything is wrong, and compares the
// whole message.
func TestLoadProblems(t *testing.T) {
	const file = "testdata/load/problems.txt"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	source, want, _ := strings.Cut(string(data), "---\n")
	rules, err := Load("p.yaml", []byte(source))
	if err == nil || rules != nil {
		t.Fatalf("got %v, %v", rules, err)
	}
	got := err.Error() + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(source+"---\n"+got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct{ name, source, want string }{
		{"no YAML", "rules: [", "p.yaml: line 1: not valid YAML: did not find expected node content"},
		{"a list", "- a", "p.yaml: line 1: a policy file must have the keys builtin, rules, time_zone"},
		{"rules of another shape", "rules: {a: b}", `p.yaml: line 1: rules must be a list; begin each rule with "- name: …"`},
		{"a misspelt key", "rules:\n  - name: a\n    when: 'true'\n    efect: deny\n", `p.yaml: line 4: unknown key "efect", did you mean "effect"?`},
		{"a name that is built in", "rules:\n- {name: no-drop, when: 'true', effect: allow}", `p.yaml: line 2: the built-in policy has a rule named "no-drop" already; choose another name`},
		{"a rule that speaks of nothing there is", "rules:\n- {name: a, effect: deny, when: user == 'x'}", "p.yaml: line 2:33: undeclared reference to 'user'"},
		{"a limit of nothing", "rules:\n- {name: a, effect: allow, when: true, max_rows: 0}", `p.yaml: line 2: max_rows is how many rows a statement may change, 1 or more, not "0"; to refuse all writes, write effect: deny and when: statement.writes`},
		{"a limit that is no number", "rules:\n- {name: a, effect: allow, when: true, max_rows: few}", `p.yaml: line 2: max_rows is how many rows a statement may change, 1 or more, not "few"; to refuse all writes, write effect: deny and when: statement.writes`},
		{"a limit where all is denied", "rules:\n- {name: a, effect: deny, when: true, max_rows: 5}", `p.yaml: line 2: a rule that denies lets nothing change, so "max_rows" has no effect`},
		{"more than a file may hold", strings.Repeat("#", maxFile+1), "p.yaml: the file is larger than 1048576 bytes"},
		{"an expression that goes on for ever", "rules:\n- {name: a, effect: deny, when: '" + strings.Repeat("(", maxWhen) + "1'}", "p.yaml: line 2:34: when is longer than 4096 bytes"},
		{"an assignment", "rules:\n- {name: a, effect: deny, when: who.email = 'x'}", "p.yaml: 2 problems\n  line 2:43: unexpected '='; write == to compare\n  line 2:45: unexpected ''x''"},
		{"types that do not go together", "rules:\n- {name: a, effect: deny, when: who.groups == 3}", "p.yaml: line 2:44: == does not take (list(string), int)"},
		{"a word in something that is no list", "rules:\n- {name: a, effect: deny, when: \"'x' in who.email\"}", "p.yaml: line 2:38: in does not take (string, string)"},
		{"a function of something else", "rules:\n- {name: a, effect: deny, when: size(statement.writes) > 3}", "p.yaml: line 2:37: size does not take (bool)"},
		{"escalation without a time", "rules:\n- {name: a, when: true, effect: hold, approvers: {groups: [dba], escalate: {groups: [leads]}}}", "p.yaml: line 2: escalate needs both: {after: 5m, groups: [leads]}"},
		{"escalation to nobody", "rules:\n- {name: a, when: true, effect: hold, approvers: {groups: [dba], escalate: {after: 5m}}}", "p.yaml: line 2: escalate needs both: {after: 5m, groups: [leads]}"},
		{"escalation at once", "rules:\n- {name: a, when: true, effect: hold, approvers: {groups: [dba], escalate: {after: 0s, groups: [leads]}}}", `p.yaml: line 2: after is how long the first groups have to themselves, such as 5m, from 1s to 24h, not "0s"`},
		{"a glass that nobody breaks", "rules:\n- {name: a, when: true, effect: hold, approvers: {groups: [dba], break_glass: {}}}", "p.yaml: line 2: break_glass must name a group: {groups: [oncall]}"},
		{"a window through a wall", "rules:\n- {name: a, when: true, effect: deny, window: true}", `p.yaml: line 2: "window" needs effect: hold, this rule says deny`},
		{"a window of nothing", "rules:\n- {name: a, when: true, max_rows: 5, window: true}", `p.yaml: line 2: "window" needs effect: hold`},
		{"a tab", "rules:\n\t- a", "p.yaml: line 2: the line is indented with a tab; YAML takes spaces only"},
		{"bytes that are no text", "# x\nrules: \xff", "p.yaml: line 2: this is not UTF-8 text"},
		{"a second document", "rules: []\n---\nrules: []\n", "p.yaml: line 2: a policy is one document; what follows --- would be ignored"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := Load("p.yaml", []byte(tt.source))
			var le *LoadError
			if rules != nil || !errors.As(err, &le) {
				t.Fatalf("got %v, %v", rules, err)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// A file without rules is the built-in policy, or with builtin: false one that
// refuses everything.
func TestLoadEmpty(t *testing.T) {
	for source, want := range map[string]int{"": len(Builtin().List), "# nothing\n": len(Builtin().List), "builtin: false": 0, "builtin: true\nrules: []": len(Builtin().List)} {
		rules, err := Load("p.yaml", []byte(source))
		if err != nil || len(rules.List) != want {
			t.Errorf("%q: %v, want %d rules", source, err, want)
		}
	}
}

func TestBuiltinYAMLLoads(t *testing.T) {
	if _, err := Load("builtin.yaml", []byte(BuiltinYAML())); err != nil {
		t.Fatal(err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(BuiltinYAML())
	if data, err := os.ReadFile("testdata/load/problems.txt"); err == nil {
		f.Add(string(data))
	}
	for _, s := range []string{"rules: [{when: '\n\n}']", "rules: [{name: *a}]", "a: &a [*a]", "rules:\n- when: |\n", "rules: [{when: \"\\\"x\"}]", "rules:\n- ? a\n  : b", "rules: [!!bool x]", "builtin: !!int 3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		rules, err := Load("p.yaml", []byte(source))
		if (rules == nil) == (err == nil) {
			t.Errorf("got %v and %v", rules, err)
		}
		var le *LoadError
		if err != nil && (!errors.As(err, &le) || len(le.Problems) == 0) {
			t.Errorf("got %v without a problem", err)
		}
	})
}
