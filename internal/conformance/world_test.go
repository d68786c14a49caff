package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The suites of others take an hour and are seldom run: what they need of the program
// must not be found missing only then.
func TestBothWaysAreOpen(t *testing.T) {
	w, _ := open(t, WorldConfig{Sluice: build(t), Database: "both"})
	for _, side := range []Side{w.Direct, w.Through} {
		conn, err := pgx.Connect(t.Context(), side.DSN())
		if err != nil {
			t.Fatal(err)
		}
		var name string
		if err := conn.QueryRow(t.Context(), "select current_database()").Scan(&name); err != nil || name != "both" {
			t.Errorf("connected to %q, %v", name, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// build makes the program.
func build(t *testing.T) string {
	t.Helper()
	sluice := filepath.Join(t.TempDir(), "sluice")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", sluice, "github.com/sluicehq/sluice")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build sluice: %v\n%s", err, out)
	}
	return sluice
}

// open makes a world that ends with the test. Its files stay if the variable
// CONFORMANCE_DIR names a directory for them.
func open(t *testing.T, cfg WorldConfig) (*World, string) {
	t.Helper()
	dir := t.TempDir()
	if keep := os.Getenv("CONFORMANCE_DIR"); keep != "" {
		dir = filepath.Join(keep, filepath.Base(t.Name()))
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Dir = dir
	w, err := Open(t.Context(), cfg)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, dir
}
