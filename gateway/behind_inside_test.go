package gateway

import (
	"testing"
	"time"

	"github.com/sluicehq/sluice/catalog"
)

// Attack: send many statements that name what is not there. After the first, none of
// them asks the database, which is not even configured here.
func TestFloodOfUnknownNamesAsksNobody(t *testing.T) {
	k := &known{Snapshot: &catalog.Snapshot{}, number: 2}
	d := &database{looked: time.Now().Add(time.Hour)}
	d.current.Store(k)
	for range 1000 {
		if d.behind(t.Context(), k, lookEvery) {
			t.Fatal("the catalogue is said to be another")
		}
	}
	if !d.behind(t.Context(), &known{Snapshot: &catalog.Snapshot{}, number: 1}, lookEvery) {
		t.Error("a statement that began before the last refresh is not analysed again")
	}
}
