package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tour is the product's main job; it checks each of its steps itself.
func TestTourDoesWhatItSays(t *testing.T) {
	// As root the server runs as somebody else, who must get to its directory;
	// t.TempDir lets nobody in.
	dir, err := os.MkdirTemp("", "tour-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	code, stdout, stderr := runs(t.Context(), nil, "demo", "--tour")
	if code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	for _, want := range []string{"refused by policy", "waiting for approval", "approved by grace@shop.example", "canceling statement due to user request", "ok: "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the tour does not show %q:\n%s", want, stdout)
		}
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "sluice-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("the demo left %v behind (%v)", left, err)
	}
}
