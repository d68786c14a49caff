package cmd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicehq/sluice/internal/pgtest"
)

// TestMain runs the tests, or sluice itself where a test calls this program by its name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "sluice" {
		os.Exit(Main())
	}
	os.Exit(pgtest.Main(m))
}
