package store

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/lineage"
)

func ways(t *testing.T, s *Store, target string) int {
	t.Helper()
	a, err := s.Ask(t.Context(), lineage.Question{Target: target, Up: true})
	if err != nil {
		t.Fatal(err)
	}
	return len(a.Edges)
}

// A start goes on where the last one ended, and makes anew what it cannot trust.
func TestTheFileIsTakenOrMadeAnew(t *testing.T) {
	dir := t.TempDir()
	record := build(t, dir, 2000)
	path := filepath.Join(dir, "graph")
	s := New(Config{Record: record, Path: path})
	want := ways(t, s, "model:m1@0")
	if err := s.Close(); err != nil || want == 0 {
		t.Fatal(want, err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := build(t, t.TempDir(), 10)
	spoiled := bytes.Replace(good, []byte("public."), []byte("privat."), 1)
	for name, c := range map[string]struct {
		file   []byte
		record string
		anew   bool
	}{
		"as it was": {good, record, false}, "damaged": {spoiled, record, true}, "cut": {good[:len(good)/2], record, true}, "empty": {nil, record, true},
		"another record": {good, other, true},
	} {
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := New(Config{Record: c.record, Path: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err := s.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(log.Bytes(), []byte("made anew")) != c.anew {
			t.Errorf("%s: %s", name, &log)
		}
		if c.record == record && ways(t, s, "model:m1@0") != want {
			t.Errorf("%s: another answer", name)
		}
	}
}

// What is removed from the record is not kept in the graph, in memory or in the file.
func TestWhatIsRemovedFromTheRecordIsNotKept(t *testing.T) {
	dir := t.TempDir()
	record := build(t, dir, 36_000)
	s := New(Config{Record: record})
	if ways(t, s, "model:m1@0") == 0 {
		t.Fatal("nothing to remove")
	}
	s.keep(0)
	l, err := audit.Open(audit.Config{Dir: record, Origin: "sluice/town"})
	if err != nil {
		t.Fatal(err)
	}
	done, err := l.Tidy(t.Context(), audit.Tidying{Keep: time.Hour, Needed: s.Place()})
	if err := errors.Join(err, l.Close()); err != nil || done.Removed != 1 {
		t.Fatal(done, err)
	}
	if _, err := s.Ask(t.Context(), lineage.Question{Target: "model:m1@0"}); err == nil {
		t.Error("the graph in memory still has it")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = New(Config{Record: record})
	if _, err := s.Ask(t.Context(), lineage.Question{Target: "model:m1@0"}); err == nil {
		t.Error("the file still has it")
	}
	if a, err := s.Ask(t.Context(), lineage.Question{Target: "db0:public.orders_0"}); err != nil || len(a.Edges) == 0 {
		t.Errorf("what was kept is gone: %v", err)
	}
}
