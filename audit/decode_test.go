package audit

import (
	"encoding/json"
	"reflect"
	"testing"
)

// Lines that are an event, but that we would not have written.
func TestDecodeLinesOfOthers(t *testing.T) {
	const head = `{"seq":7,"id":"0000abcd-7","time":"2026-03-04T05:06:07.000001Z","kind":"decided"`
	for _, line := range []string{
		head + `,"later":{"x":[1]}}`,
		head + `,"who":"a","who":"b"}`,
		head + `,"rule":"r","who":"a"}`,
		head + `, "who": "a" }`,
		head + `,"groups":[]}`,
		head + `,"groups":["a" ,"b"]}`,
		head + `,"who":"\u0061\/"}`,
		head + `,"who":null}`,
		head + `,"params_cut":false}`,
		`{"seq":7,"id":"x","kind":"decided","time":"2026-03-04T05:06:07Z"}`,
	} {
		var want Event
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		if decodeOwn(line, new(Event)) {
			t.Errorf("%s is taken for our own", line)
		}
		if got, err := decodeLine([]byte(line)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{head, head + `}}`, head + `,"who":"a`, head + `,"who":"\`, head + `,"who":"\u00`, head + `,"groups":["a"`, head + `,"rows":99999999999999999999}`, head + "\x00}"} {
		if _, err := decodeLine([]byte(line)); err == nil {
			t.Errorf("%s was read", line)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	line := encode(b, 77, typical())
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeLine(line); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeJSON is the same by encoding/json, to compare.
func BenchmarkDecodeJSON(b *testing.B) {
	line := encode(b, 77, typical())
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		var ev Event
		if err := json.Unmarshal(line, &ev); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDecodeLine(f *testing.F) {
	f.Add(encode(f, 0, numbered(0)))
	f.Add(encode(f, 77, fullEvent(f)))
	f.Add([]byte(`{"seq":3,"id":"x","seq":4}`))
	f.Add([]byte(`{"seq":1,"time":"yesterday"}`))
	f.Add([]byte("{\"seq\":1,\x00"))
	f.Add([]byte(`{"seq":1,"id":"\ud83d\ude00","time":"2026-03-04T05:06:07.000001Z","kind":"decided","sql":"\u001f\u0041\/","rows":-0}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		ev, err := decodeLine(line)
		var fast Event
		if decodeOwn(string(line), &fast) {
			var slow Event
			if err := json.Unmarshal(line, &slow); err != nil || !reflect.DeepEqual(fast, slow) {
				t.Fatalf("%s was read as %+v; as JSON it is %+v, %v", line, fast, slow, err)
			}
		}
		if err != nil {
			return
		}
		// What was read can be written, and reads the same again.
		body, err := appendBounded(nil, ev)
		if err != nil {
			return // a time out of bounds
		}
		again := append(appendHead(nil, ev.Seq, "p-"), body...)
		back, err := decodeLine(again)
		if err != nil {
			t.Fatalf("%s was written as %s: %v", line, again, err)
		}
		if !decodeOwn(string(again), new(Event)) {
			t.Fatalf("%s is not known as our own", again)
		}
		third, err := appendBounded(nil, back)
		if err != nil || string(third) != string(body) {
			t.Fatalf("not canonical: %s and %s, %v", body, third, err)
		}
	})
}
