package audit

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestSealCoversTheNewestEntry(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "record")
	l, err := Open(Config{Dir: dir, Origin: "sluice/test"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ticket, err := l.Append(Event{Kind: Admin, Detail: "something"})
		if err != nil {
			t.Fatal(err)
		}
		if err := ticket.Durable(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		report, err := Verify(t.Context(), dir, l.VerifierKey())
		if err != nil || !report.OK() || report.Sealed != ticket.Seq+1 {
			t.Errorf("%d of %d entries are sealed, problems %v, %v", report.Sealed, report.Entries, report.Problems, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Seal(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("sealing a closed record: %v", err)
	}
}
