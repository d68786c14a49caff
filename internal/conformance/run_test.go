//go:build conformance

package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestConformance is what make conformance runs; nothing in it is ever skipped.
func TestConformance(t *testing.T) {
	sluice := filepath.Join(t.TempDir(), "sluice")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", sluice, "github.com/sluicehq/sluice")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build sluice: %v\n%s", err, out)
	}
	t.Run("pgx", func(t *testing.T) {
		w, dir := open(t, WorldConfig{Sluice: sluice, Database: "pgx_test", Setup: PgxSetup()})
		r, err := Pgx().Run(t.Context(), w, dir)
		judge(t, "pgx", r, err)
	})
	t.Run("pq", func(t *testing.T) {
		w, dir := open(t, WorldConfig{Sluice: sluice, Database: "pqgotest"})
		r, err := Pq().Run(t.Context(), w, dir)
		judge(t, "pq", r, err)
	})
	t.Run("regress", func(t *testing.T) {
		w, dir := open(t, WorldConfig{Sluice: sluice, Database: "regression", Setup: RegressSetup()})
		r, err := Regress{Source: os.Getenv("REGRESS")}.Run(t.Context(), w, dir)
		judge(t, "regress", r, err)
	})
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

func judge(t *testing.T, name string, r *Result, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s was not run to its end: %v", name, err)
	}
	for _, note := range r.Notes {
		t.Log(note)
	}
	t.Logf("directly:       %v", r.Direct)
	t.Logf("through Sluice: %v", r.Through)
	t.Logf("%d differences", len(r.Differences))
	f, err := os.Open(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reviewed, err := ReadReviewed(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range Judge(r.Differences, reviewed) {
		t.Error(complaint)
	}
}
