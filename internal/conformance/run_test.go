//go:build conformance

package conformance

import (
	"os"
	"path/filepath"
	"testing"
)

// TestConformance is what make conformance runs; nothing in it is ever skipped.
func TestConformance(t *testing.T) {
	sluice := build(t)
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
