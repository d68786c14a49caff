package postgres

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgproto3/v2"

	"github.com/sluicehq/sluice/wire"
)

func TestInsteadReplacesTheTextAlone(t *testing.T) {
	const sql = "a longer text"
	for _, c := range []struct{ was, want pgproto3.FrontendMessage }{
		{&pgproto3.Query{String: "short"}, &pgproto3.Query{String: sql}},
		{&pgproto3.Parse{Name: "n", Query: "short", ParameterOIDs: []uint32{25, 0}}, &pgproto3.Parse{Name: "n", Query: sql, ParameterOIDs: []uint32{25, 0}}},
	} {
		was, err := c.was.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := c.want.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		f := &frame{kind: was[0], raw: was}
		if !Instead(&wire.Request{Frame: f}, sql) {
			t.Errorf("%c was not replaced", was[0])
		}
		if diff := cmp.Diff(want, f.raw); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if Instead(&wire.Request{Frame: f}, "two\x00texts") || !cmp.Equal(f.raw, want) {
			t.Error("a text with NUL was taken")
		}
	}
	if Instead(&wire.Request{Frame: &frame{kind: 'E', raw: []byte{'E', 0, 0, 0, 9, 0, 0, 0, 0, 0}}}, sql) {
		t.Error("an Execute was given a text")
	}
}
