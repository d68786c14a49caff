package gateway

import "testing"

func TestLabelsThatCannotBeRead(t *testing.T) {
	for _, text := range []string{"", "{", `[{"as":"none"}]`, "null x", `[{"as":"none","schema":"s","table":"t"}]`} {
		if list, err := parseRulings([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v", text, list)
		}
	}
}

func FuzzParseRulings(f *testing.F) {
	f.Add([]byte(`[{"connection":"a","database":"b","relation":1,"number":2,"schema":"s","table":"t","column":"c","as":"none","at":"2026-01-02T03:04:05Z"}]`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseRulings(data)
		for _, r := range list {
			if err == nil && (r.As == "" || r.Column == "") {
				t.Errorf("%+v was taken", r)
			}
		}
	})
}
