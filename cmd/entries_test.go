package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// An open port is known by its service name, and only as long as it is open.
func TestServiceNameWhileThePortIsOpen(t *testing.T) {
	w := newTown(t)
	file := filepath.Join(t.TempDir(), "pg_service.conf")
	const theirs = "[work]\nhost=elsewhere\n"
	if err := os.WriteFile(file, []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("open", func(t *testing.T) {
		said := lines(t, map[string]string{"SLUICE_HOME": w.home, "PGSERVICEFILE": file}, "connect", "orders", "--pg-service", "orders", "--port", "0")
		said("psql service=orders works")
		said("is ready")
		conn, err := pgx.Connect(t.Context(), "servicefile="+file+" service=orders")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), "select 1"); err != nil {
			t.Error(err)
		}
	})
	text, err := os.ReadFile(file)
	if err != nil || string(text) != theirs {
		t.Errorf("after the end: %q, %v", text, err)
	}
}

func TestProfileIsWrittenAndTakenOut(t *testing.T) {
	w := newTown(t)
	home := t.TempDir()
	env := map[string]string{"SLUICE_HOME": w.home, "HOME": home}
	t.Run("open", func(t *testing.T) {
		said := lines(t, env, "connect", "orders", "--write", "pgadmin")
		said("import it in pgAdmin")
		said("is ready")
		pass, err := os.ReadFile(filepath.Join(home, ".pgpass"))
		if err != nil || !strings.Contains(string(pass), "127.0.0.1:") {
			t.Errorf("%q, %v", pass, err)
		}
	})
	if pass, err := os.ReadFile(filepath.Join(home, ".pgpass")); err != nil || len(pass) > 0 {
		t.Errorf("after the end: %q, %v", pass, err)
	}
	servers := filepath.Join(w.home, "pgadmin.json")
	if text, err := os.ReadFile(servers); err != nil || !strings.Contains(string(text), "orders (sluice)") {
		t.Errorf("%s, %v", text, err)
	}
	if code, _, errs := runs(t.Context(), env, "connect", "orders", "--remove", "pgadmin"); code != exitOK || !strings.Contains(errs, "took orders out") {
		t.Errorf("%d: %s", code, errs)
	}
	if text, err := os.ReadFile(servers); err != nil || strings.Contains(string(text), "orders") {
		t.Errorf("%s, %v", text, err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"connect", "orders", "--write", "dbeaver"}, exitError, "start DBeaver once"},
		{[]string{"connect", "orders", "--write", "dbeaverr"}, exitUsage, `did you mean "dbeaver"?`},
		{[]string{"connect", "orders", "--write", "dbeaver", "--", "true"}, exitUsage, "leave the command out"},
		{[]string{"connect", "orders", "--pg-service", "a]b"}, exitUsage, "no name for a service"},
	} {
		if code, _, errs := runs(t.Context(), env, c.args...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %d, %s", c.args, code, errs)
		}
	}
}
