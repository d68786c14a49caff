package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mistake in where a password is must not come to mean that there is none.
func TestMistypedSourceOfAPasswordIsRefused(t *testing.T) {
	read := func(text string) (*sheet, secret) {
		var d databaseConfig
		s := &sheet{}
		s.read([]byte("password: "+text), &d)
		return s, d.Password
	}
	for _, bad := range []string{"{envv: PW}", "{}", "{env: PW, file: /x}", "{env: ''}", "{exec: []}", "{exec: ['']}", "hunter2", "[env]", "{env: [PW]}", "", "{env: }", "{env: &a PW}"} {
		if s, sec := read(bad); len(s.Problems) == 0 {
			t.Errorf("%s is taken as %+v", bad, sec)
		}
	}
	for _, good := range []string{"{env: PW}", "{file: /x}", "{exec: [pass, show]}"} {
		if s, _ := read(good); len(s.Problems) != 0 {
			t.Errorf("%s: %v", good, s.Problems)
		}
	}
}

func TestSecretsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, tt := range map[string]struct {
		secret secret
		want   string
	}{
		"variable not set":       {secret{Env: "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE with the password is empty or not set"},
		"file not there":         {secret{File: filepath.Join(dir, "none")}, "no such file or directory"},
		"file is a directory":    {secret{File: dir}, "is a directory"},
		"file without an end":    {secret{File: "/dev/zero"}, "more than 64 KiB"},
		"empty file":             {secret{File: file("empty", "\n")}, "gives an empty password"},
		"several lines":          {secret{File: file("lines", "hunter2\nlogin: me\n")}, "gives several lines"},
		"program not there":      {secret{Exec: []string{"no-such-program-anywhere"}}, "no-such-program-anywhere for the password is not there"},
		"program not runnable":   {secret{Exec: []string{file("text", "x")}}, "cannot be run: permission denied"},
		"program that fails":     {secret{Exec: []string{"sh", "-c", "echo no such entry >&2; echo more >&2; exit 3"}}, "ended with status 3: no such entry"},
		"program killed":         {secret{Exec: []string{"sh", "-c", "kill -9 $$"}}, "was ended (signal: killed)"},
		"program without end":    {secret{Exec: []string{"cat", "/dev/zero"}}, "gives more than 64 KiB"},
		"program says nothing":   {secret{Exec: []string{"true"}}, "gives an empty password"},
		"program that is chatty": {secret{Exec: []string{"printf", `hunter2\nlogin: me\n`}}, "gives several lines"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.secret.read(t.Context(), "connection orders", "password", func(string) string { return "" })
			if err == nil {
				t.Fatalf("taken as %q", got)
			}
			sentence, hint, _ := explainError(err)
			if !strings.HasPrefix(sentence, "connection orders: ") || !strings.Contains(sentence, tt.want) || hint == "" {
				t.Errorf("%q (hint %q) does not say %q", sentence, hint, tt.want)
			}
			if strings.Contains(sentence, "hunter2") {
				t.Error("the password is repeated")
			}
		})
	}
}
