package export

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// schema is OCSF's own, as far as a program can check by it; testdata/README.md.
type schema struct {
	Version string `json:"version"`
	Types   map[string]struct {
		Type   string    `json:"type"`
		Regex  string    `json:"regex"`
		MaxLen int       `json:"max_len"`
		Range  []float64 `json:"range"`
	} `json:"types"`
	Classes map[string]shape `json:"classes"`
	Objects map[string]shape `json:"objects"`
}

type shape struct {
	Attributes map[string]struct {
		Type        string            `json:"type"`
		Requirement string            `json:"requirement"`
		Array       bool              `json:"array"`
		Enum        map[string]string `json:"enum"`
	} `json:"attributes"`
	Constraints map[string][]string `json:"constraints"`
}

func loadSchema(t testing.TB) *schema {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "ocsf.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// patterns are those of the schema's types, compiled.
var patterns = map[string]*regexp.Regexp{}

// check lists what of an event is not as its class says.
func (s *schema) check(message []byte) (wrong []string) {
	var ev map[string]any
	if err := json.Unmarshal(message, &ev); err != nil {
		return []string{err.Error()}
	}
	class, ok := s.Classes[fmt.Sprint(ev["class_uid"])]
	if !ok {
		return []string{fmt.Sprintf("class %v is not known", ev["class_uid"])}
	}
	if ev["type_uid"] != ev["class_uid"].(float64)*100+ev["activity_id"].(float64) {
		wrong = append(wrong, "type_uid is not class_uid * 100 + activity_id")
	}
	if at := ev["metadata"].(map[string]any)["version"]; at != s.Version {
		wrong = append(wrong, fmt.Sprintf("metadata.version is %v", at))
	}
	return append(wrong, s.object("", class, ev)...)
}

func (s *schema) object(path string, want shape, have map[string]any) (wrong []string) {
	for name, a := range want.Attributes {
		if _, ok := have[name]; !ok && a.Requirement == "required" {
			wrong = append(wrong, path+name+" is missing")
		}
	}
	for kind, names := range want.Constraints {
		n := 0
		for _, name := range names {
			if _, ok := have[name]; ok {
				n++
			}
		}
		if kind == "at_least_one" && n == 0 || kind == "just_one" && n != 1 {
			wrong = append(wrong, fmt.Sprintf("%s: %s of %v", path, kind, names))
		}
	}
	for name, v := range have {
		a, ok := want.Attributes[name]
		if !ok {
			wrong = append(wrong, path+name+" is not in the schema")
			continue
		}
		values := []any{v}
		if list, is := v.([]any); is != a.Array {
			wrong = append(wrong, fmt.Sprintf("%s%s: a list is %v, not %v", path, name, a.Array, is))
			continue
		} else if is {
			values = list
		}
		for _, v := range values {
			if len(a.Enum) > 0 && strings.HasSuffix(a.Type, "_t") {
				if _, ok := a.Enum[fmt.Sprint(v)]; !ok {
					wrong = append(wrong, fmt.Sprintf("%s%s is %v, none of %v", path, name, v, a.Enum))
				}
			}
			wrong = append(wrong, s.value(path+name, a.Type, v)...)
		}
	}
	return wrong
}

func (s *schema) value(path, kind string, v any) (wrong []string) {
	if kind == "object" { // anything
		return nil
	}
	if o, ok := s.Objects[kind]; ok {
		m, is := v.(map[string]any)
		if !is {
			return []string{path + " is no object"}
		}
		return s.object(path+".", o, m)
	}
	t, ok := s.Types[kind]
	if !ok {
		return []string{path + ": the schema has no " + kind}
	}
	base := t.Type
	if base == "" {
		base = kind
	}
	good := false
	switch base {
	case "string_t":
		text, is := v.(string)
		good = is && (t.MaxLen == 0 || len(text) <= t.MaxLen)
		if good && t.Regex != "" {
			if patterns[t.Regex] == nil {
				patterns[t.Regex] = regexp.MustCompile(t.Regex)
			}
			good = patterns[t.Regex].MatchString(text)
		}
	case "integer_t", "long_t":
		n, is := v.(float64)
		good = is && n == float64(int64(n)) && (len(t.Range) != 2 || n >= t.Range[0] && n <= t.Range[1])
	case "boolean_t":
		_, good = v.(bool)
	}
	if !good {
		return []string{fmt.Sprintf("%s is %v, no %s", path, v, kind)}
	}
	return nil
}

// kinds are all that an event can be.
var kinds = []audit.Kind{
	audit.Decided, audit.Finished, audit.Connected, audit.Closed, audit.LoggedIn, audit.Asked, audit.Voted, audit.Answered,
	audit.Questioned, audit.Admin, audit.Started, audit.Stopped, audit.Rights, "something new",
}

// full is an event with every field set.
func full() audit.Event {
	ev := audit.Event{}
	v := reflect.ValueOf(&ev).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("a " + v.Type().Field(i).Name)
		case reflect.Int64:
			f.SetInt(int64(i) + 1)
		case reflect.Uint64:
			f.SetUint(uint64(i) + 1)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"public.people.email", "b"}))
		}
	}
	ev.Time = time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)
	return ev
}

// variety is events of all kinds, from bare to full.
func variety() (out []audit.Event) {
	for _, kind := range kinds {
		for _, base := range []audit.Event{{ID: "x-1"}, full(), {ID: "x-1", Who: "ada", CallerKind: "person", From: "10.1.2.3:4444"}, {ID: "x-1", Subject: "s", CallerKind: "agent", From: "[fe80::1%eth0]:1", Connection: "orders", Reads: []string{"public.a.b"}}} {
			for _, effect := range []string{"", "allow", "hold", "deny"} {
				for _, outcome := range []string{"", "ok", "error", "refused", "lost"} {
					for _, statement := range []string{"", "select", "insert", "update", "delete", "ddl", "copy_to", "show", "call"} {
						ev := base
						ev.Kind, ev.Effect, ev.Outcome, ev.Statement = kind, effect, outcome, statement
						if kind == audit.Decided {
							ev.SQL = "select 1"
						}
						out = append(out, ev)
					}
				}
			}
		}
	}
	return out
}

func TestOCSFKeepsToItsSchema(t *testing.T) {
	s := loadSchema(t)
	f := ocsf{&source{origin: "sluice/test", host: "h", version: "1"}}
	classes := map[float64]bool{}
	for _, ev := range variety() {
		text := f.message(nil, &ev, nil)
		if wrong := s.check(text); len(wrong) > 0 {
			slices.Sort(wrong)
			t.Fatalf("%s\n%s", text, strings.Join(wrong, "\n"))
		}
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		classes[m["class_uid"].(float64)] = true
	}
	if len(classes) != len(s.Classes) {
		t.Errorf("classes %v were made, %d are known", classes, len(s.Classes))
	}
}

// The check finds what is wrong, or it would show nothing.
func TestTheCheckOfOCSFFinds(t *testing.T) {
	s := loadSchema(t)
	f := ocsf{&source{origin: "sluice/test"}}
	ev := full()
	ev.Kind = audit.Decided
	text := f.message(nil, &ev, nil)
	for _, break_ := range []func(map[string]any){
		func(m map[string]any) { delete(m, "actor") },
		func(m map[string]any) { m["actors"] = 1 },
		func(m map[string]any) { m["severity_id"] = 77 },
		func(m map[string]any) { m["time"] = "now" },
		func(m map[string]any) { m["activity_id"] = 5000 },
		func(m map[string]any) { m["database"].(map[string]any)["type_id"] = "1" },
		func(m map[string]any) { delete(m["query_info"].(map[string]any), "query_string") },
		func(m map[string]any) { m["src_endpoint"] = map[string]any{"ip": "not one"} },
		func(m map[string]any) { m["src_endpoint"] = map[string]any{"port": 70000, "ip": "10.0.0.1"} },
		func(m map[string]any) { delete(m, "database"); delete(m, "table") },
		func(m map[string]any) { m["actor"].(map[string]any)["user"].(map[string]any)["groups"] = "staff" },
	} {
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		break_(m)
		broken, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.check(broken)) == 0 {
			t.Errorf("nothing is wrong with %s", broken)
		}
	}
}

// A line of CEF can be read back, whatever callers wrote.
func TestCEFCannotBeForged(t *testing.T) {
	f := cef{&source{origin: "sluice/test", host: "h", version: "1"}}
	ev := full()
	evil := "x|0|Sluice act=allow\nCEF:0|forged\\ suser=root"
	ev.Kind, ev.SQL, ev.Who, ev.Statement, ev.Effect, ev.Connection, ev.Client = audit.Decided, evil, evil, evil, "deny", evil, evil
	text := f.message(nil, &ev, nil)
	if strings.ContainsAny(string(text), "\n\r") {
		t.Fatalf("a line break is left: %q", text)
	}
	header := regexp.MustCompile(`^CEF:0\|((?:[^|\\]|\\.)*\|){6}`)
	rest := string(text)[len(header.FindString(string(text))):]
	if rest == string(text) || !strings.HasPrefix(rest, "rt=") {
		t.Fatalf("the header is not whole: %s", text)
	}
	key := regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`)
	seen := map[string]int{}
	for _, m := range key.FindAllStringSubmatch(rest, -1) {
		seen[m[1]]++
	}
	if seen["act"] != 1 || seen["suser"] != 1 || seen["request"] != 1 {
		t.Errorf("keys %v in %s", seen, rest)
	}
	for _, ev := range variety() {
		if text := f.message(nil, &ev, nil); !header.Match(text) {
			t.Fatalf("%q", text)
		}
	}
}

// A batch is one request of OTLP: numbers of 64 bits are texts in its JSON.
func TestOTLPIsOneRequest(t *testing.T) {
	f := otlp{&source{origin: "sluice/test", host: "h", version: "1"}}
	var list []message
	for _, ev := range variety()[:50] {
		body := f.message(nil, &ev, nil)
		list = append(list, message{ev: ev, body: body})
	}
	text, kind := f.join(list)
	type attribute struct {
		Key   string
		Value map[string]any
	}
	var got struct {
		ResourceLogs []struct {
			Resource  struct{ Attributes []attribute }
			ScopeLogs []struct {
				LogRecords []struct {
					TimeUnixNano   string
					SeverityNumber int
					Body           struct{ StringValue string }
					Attributes     []attribute
				}
			}
		}
	}
	if err := json.Unmarshal(text, &got); err != nil || kind != "application/json" {
		t.Fatal(kind, err)
	}
	records := got.ResourceLogs[0].ScopeLogs[0].LogRecords
	if len(records) != 50 || len(got.ResourceLogs[0].Resource.Attributes) != 4 {
		t.Fatalf("%d records", len(records))
	}
	for _, r := range records {
		if r.TimeUnixNano == "" || r.SeverityNumber < 1 || r.SeverityNumber > 24 || r.Body.StringValue == "" {
			t.Fatalf("%+v", r)
		}
		for _, a := range r.Attributes {
			if len(a.Value) != 1 || a.Key == "" {
				t.Fatalf("%+v", a)
			}
		}
	}
}
