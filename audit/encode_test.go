package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// encode is the line that Append would write as entry seq.
func encode(t testing.TB, seq uint64, ev Event) []byte {
	t.Helper()
	body, err := appendBounded(nil, ev)
	if err != nil {
		t.Fatal(err)
	}
	return append(appendHead(nil, seq, "0000abcd-"), body...)
}

// fullEvent has every field set, found by reflection: a field that somebody
// adds to Event and forgets in appendBody fails the test.
func fullEvent(t testing.TB) Event {
	t.Helper()
	var ev Event
	v := reflect.ValueOf(&ev).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch f := v.Field(i); f.Interface().(type) {
		case string, Kind:
			f.SetString("a " + name)
		case uint64:
			f.SetUint(uint64(i) + 1)
		case int64:
			f.SetInt(int64(i) + 1)
		case bool:
			f.SetBool(true)
		case []string:
			f.Set(reflect.ValueOf([]string{name, "", "\"quoted\"\n"}))
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)))
		default:
			t.Fatalf("field %s has a type that this test does not know", name)
		}
	}
	return ev
}

func TestEveryFieldIsWritten(t *testing.T) {
	want := fullEvent(t)
	line := encode(t, want.Seq, want)
	got, err := decodeLine(line)
	if err != nil {
		t.Fatal(err)
	}
	want.ID = fmt.Sprint("0000abcd-", want.Seq)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !decodeOwn(string(line), new(Event)) {
		t.Error("a field that is written is not known to decodeOwn")
	}
	// The keys come in the order of the fields, each once.
	at := -1
	for i := range reflect.TypeFor[Event]().NumField() {
		key, _, _ := strings.Cut(reflect.TypeFor[Event]().Field(i).Tag.Get("json"), ",")
		next := strings.Index(string(line), `"`+key+`":`)
		if next <= at {
			t.Errorf("key %q stands at %d, after %d", key, next, at)
		}
		at = next
	}
}

// TestGoldenLine: these bytes are what the leaf hash is of. They may be added
// to, but never change for an event of today.
func TestGoldenLine(t *testing.T) {
	ev := numbered(7)
	ev.Time = time.Date(2026, 3, 4, 6, 6, 7, 1999, time.FixedZone("", 3600))
	const want = `{"seq":7,"id":"0000abcd-7","time":"2026-03-04T05:06:07.000001Z","kind":"decided","session":"s0",` +
		`"who":"user1@example.com","connection":"orders","sql":"select email from users where id = 7",` +
		`"params":["NULL","7"],"reads":["public.users.email","public.users.id"],"effect":"allow","rule":"default"}`
	if got := string(encode(t, 7, ev)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStringsCannotBreakOut(t *testing.T) {
	for in, want := range map[string]string{
		"plain":       `"plain"`,
		"":            `""`,
		`a"b\c`:       `"a\"b\\c"`,
		"a\nb\r\t":    `"a\nb\r\t"`,
		"\x00\x1f":    `"\u0000\u001f"`,
		"grüße 日本":    `"grüße 日本"`,
		"bad\xffbyte": "\"bad\ufffdbyte\"",
		"\xe6\x97":    "\"\ufffd\ufffd\"",
		"\u2028<&>":   "\"\u2028<&>\"",
	} {
		got := string(AppendString(nil, in))
		if got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != strings.ToValidUTF8(in, "\ufffd") && in != "\xe6\x97" {
			t.Errorf("%q came back as %q, %v", in, back, err)
		}
	}
}

func TestLongTextIsCutWithItsHash(t *testing.T) {
	sql := strings.Repeat("ü", maxSQLBytes) // two bytes each
	sql = "x" + sql                         // so that the limit falls into the middle of one
	sum := sha256.Sum256([]byte(sql))
	got, err := decodeLine(encode(t, 0, Event{Kind: Decided, SQL: sql}))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.SQL) > maxSQLBytes || len(got.SQL) < maxSQLBytes-3 || !utf8.ValidString(got.SQL) || !strings.HasPrefix(sql, got.SQL) {
		t.Errorf("the text was cut to %d bytes, badly", len(got.SQL))
	}
	if got.SQLHash != hex.EncodeToString(sum[:]) {
		t.Errorf("hash %q is not of the whole text", got.SQLHash)
	}
	if d := cmp.Diff([]string{"sql"}, got.Cut); d != "" {
		t.Error(d)
	}
}

func TestParamsAreBounded(t *testing.T) {
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	given := []string{"short", strings.Repeat("p", maxParamBytes+1)}
	for name, c := range map[string]struct {
		params []string
		n      int
	}{
		"one too long":        {given, 2},
		"too many":            {many, maxParams},
		"too much in all":     {slicesOf(strings.Repeat("p", maxParamBytes), 100), maxParamsBytes / (maxParamBytes + 3)},
		"all of them allowed": {many[:maxParams], maxParams},
	} {
		got, err := decodeLine(encode(t, 0, Event{Kind: Decided, Params: c.params}))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Params) != c.n {
			t.Errorf("%s: %d parameters are left, want %d", name, len(got.Params), c.n)
		}
		if got.ParamsCut != (name != "all of them allowed") {
			t.Errorf("%s: params_cut is %v", name, got.ParamsCut)
		}
		for _, p := range got.Params {
			if len(p) > maxParamBytes {
				t.Errorf("%s: a parameter of %d bytes", name, len(p))
			}
		}
	}
	if len(given[1]) != maxParamBytes+1 {
		t.Error("the caller's slice was changed")
	}
}

func slicesOf(s string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

// TestNoEventIsTooLong: not even one made of nothing but bytes that grow six
// times when encoded, in every field.
func TestNoEventIsTooLong(t *testing.T) {
	var ev Event
	v := reflect.ValueOf(&ev).Elem()
	huge := strings.Repeat("\x01", 300<<10)
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(huge)
		case reflect.Slice:
			f.Set(reflect.ValueOf(slicesOf(huge, 400)))
		default:
		}
	}
	ev.Cut = nil
	line := encode(t, 1<<63, ev)
	if len(line) > maxEventBytes {
		t.Errorf("a line of %d bytes", len(line))
	}
	got, err := decodeLine(line)
	if err != nil {
		t.Fatal(err)
	}
	if got.SQL == "" || !got.ParamsCut || len(got.SQLHash) == 0 {
		t.Error("more was cut than had to be")
	}
}

func TestTimesThatCannotBeWrittenAreRefused(t *testing.T) {
	if _, err := appendBounded(nil, Event{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}); err == nil {
		t.Error("a year of five digits was accepted")
	}
}

func TestLineSeq(t *testing.T) {
	for in, want := range map[string]int64{
		`{"seq":0,"id":""}`: 0, `{"seq":12,`: 12, `{"seq":18446744073709551616,`: -1, `{"seq":99999999999999999999,`: -1,
		`{"seq":012,`: -1, `{"seq":-1,`: -1, `{"seq":,`: -1, `{"seq":1}`: -1, ` {"seq":1,`: -1, ``: -1, `{}`: -1,
	} {
		got, err := lineSeq([]byte(in))
		if (err != nil) != (want < 0) || err == nil && got != uint64(want) {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
}

// appendBounded is one event's JSON after its ID, as a log would write it.
func appendBounded(b []byte, ev Event) ([]byte, error) {
	w := scratch{body: b}
	err := w.encode(&ev)
	return w.body, err
}
