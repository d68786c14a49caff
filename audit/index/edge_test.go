package index

import (
	"bytes"
	"testing"

	"github.com/sluicehq/sluice/audit/town"
)

// blocks are those of the index, as they are packed.
func blocks(t *testing.T, x *Index) (out [][]byte) {
	t.Helper()
	rows, err := x.db.Query("SELECT data FROM block ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	if err := eachRow(rows, func(scan func(...any) error) error {
		var b []byte
		err := scan(&b)
		out = append(out, b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// Taken in by small steps, with a restart and a rollback in between, blocks are packed from
// memory or read back, and are the same as of one step.
func TestBlocksAreTheSameByAnySteps(t *testing.T) {
	record := town.Build(t, t.TempDir(), 3*blockEntries+900)
	one := open(t, Config{Record: record, Path: t.TempDir() + "/one"})
	if err := one.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := blocks(t, one)
	for _, batch := range []uint64{150, 1000, blockEntries, blockEntries + 1} {
		path := t.TempDir() + "/many"
		x := New(Config{Record: record, Path: path, batch: batch})
		for n := 0; ; n++ {
			done, err := x.catchUp(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			if done {
				break
			}
			switch n % 7 {
			case 3:
				x.edge = nil // as after a rollback
			case 5:
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
				x = New(Config{Record: record, Path: path, batch: batch})
			}
		}
		got := blocks(t, x)
		if len(got) != len(want) || len(got) != 3 {
			t.Fatalf("by %d: %d blocks, not %d", batch, len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("by %d: block %d is another", batch, i)
			}
		}
		if e := x.edge; e != nil && len(e.at) > 2*blockEntries {
			t.Errorf("by %d: %d entries are kept", batch, len(e.at))
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
