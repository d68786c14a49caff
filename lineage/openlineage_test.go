package lineage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sluicehq/sluice/audit"
)

// specification is OpenLineage's own schemas, and that of our facet.
type specification struct {
	event  *jsonschema.Schema
	facets map[string]*jsonschema.Schema // by the name that a facet has in an event
}

func readSpecification(t *testing.T) specification {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat() // else a run without a UUID is none the worse
	files, err := filepath.Glob(filepath.Join("testdata", "openlineage", "*.json"))
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	files = append(files, filepath.Join("..", "docs", "openlineage", "1-0-0", "SluiceRecordRunFacet.json"))
	s := specification{facets: map[string]*jsonschema.Schema{}}
	ids := map[string][]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		top := doc.(map[string]any)
		id := top["$id"].(string)
		if err := c.AddResource(id, doc); err != nil {
			t.Fatal(err)
		}
		props, _ := top["properties"].(map[string]any)
		for name := range props {
			ids[id] = append(ids[id], name)
		}
		if len(props) == 0 {
			ids[id] = nil
		}
	}
	for id, names := range ids {
		schema, err := c.Compile(id)
		if err != nil {
			t.Fatal(err)
		}
		if names == nil {
			s.event = schema
		}
		for _, name := range names {
			s.facets[name] = schema
		}
	}
	return s
}

// check holds an event against the specification, and each of its facets against its own
// schema: the event's says nothing of them.
func (s specification) check(t *testing.T, data []byte) map[string]any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.event.Validate(doc); err != nil {
		t.Errorf("%s\n%v", data, err)
	}
	var facets func(v any)
	facets = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if list, ok := v["facets"].(map[string]any); ok {
				for name, f := range list {
					schema := s.facets[name]
					if schema == nil {
						t.Errorf("the facet %s has no schema here", name)
						continue
					}
					if err := schema.Validate(map[string]any{name: f}); err != nil {
						t.Errorf("%s: %v\n%s", name, err, data)
					}
					s.versioned(t, name, f.(map[string]any))
				}
			}
			for _, x := range v {
				facets(x)
			}
		case []any:
			for _, x := range v {
				facets(x)
			}
		}
	}
	facets(doc)
	return doc.(map[string]any)
}

// versioned checks that a facet names the schema that it was held against.
func (s specification) versioned(t *testing.T, name string, f map[string]any) {
	t.Helper()
	url, _ := f["_schemaURL"].(string)
	id, _, _ := strings.Cut(url, "#")
	if want := strings.TrimSuffix(s.facets[name].Location, "#"); id != want {
		t.Errorf("%s says that its schema is %s, not %s", name, id, want)
	}
}

func olPipeline(t *testing.T) (events [][]byte) {
	t.Helper()
	o := &OpenLineage{Namespace: "gw-1", Producer: "https://github.com/sluicehq/sluice/tree/v1", Fields: func(_, relation string) []Field {
		if relation == "public.features" {
			return []Field{{"spend", "bigint", 1}, {"mail", "text", 2}}
		}
		return nil
	}}
	w := newTeller()
	w.g.Done = func(h Happening) {
		list, err := o.Events(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range list {
			events = append(events, ev)
		}
	}
	w.tell(w.by(audit.Event{Kind: audit.Connected, Outcome: "ok", Database: "db.internal:5432/shop"}))
	w.run(audit.Event{
		Statement: "ddl", Command: "CREATE TABLE AS", SQL: "create table features as select sum(amount), mail from raw where day > '2026-01-01'",
		Reads: []string{"public.raw.amount", "public.raw.day", "public.raw.mail", "other.f"}, Writes: []string{"public.features"},
		Flows: []string{"public.features.spend derived public.raw.amount", "public.features.mail counted public.raw.mail", "public.features steers+join+filter public.raw.day", "public.features steers public.raw.mail", "public.features.spend unknown"},
	}, "ok")
	w.tell(w.by(audit.Event{
		Kind: audit.RunBegan, Run: "01890000-0000-7000-8000-000000000001", Job: "train-churn", Parent: "airflow/dag.task/manual__2026", Inputs: []string{"s3://bucket/raw/x", "file:///data/a b.csv\tsha256:00\tb.csv", "plain", "urn:x"},
		Facts: []string{"git.commit=abc", "git.repo=https://example.com/r.git", "git.branch=main", "param.depth=3", "nominal=2026-01-01T00:00:00Z"},
	}))
	w.who.Run = "01890000-0000-7000-8000-000000000001"
	w.run(audit.Event{Statement: "select", Reads: []string{"public.features.spend", "public.features.mail"}, Rows: 2, Flows: []string{"- direct+masked public.features.mail", "- steers+sort public.features.spend"}}, "ok")
	w.copies("public.features.spend", "public.scores.spend", "ok")
	w.who.Run = ""
	w.ends("01890000-0000-7000-8000-000000000001", "model:churn@v3\tsha256:aa\tmodel.bin", "s3://bucket")
	w.begins("01890000-0000-7000-8000-000000000002", "01890000-0000-7000-8000-000000000001")
	w.tell(w.by(audit.Event{Kind: audit.RunEnded, Run: "01890000-0000-7000-8000-000000000002", Outcome: "error", Error: "the command ended with status 3"}))
	return events
}

func TestOpenLineageEventsAreValid(t *testing.T) {
	s := readSpecification(t)
	var all []map[string]any
	seen := map[string]bool{}
	for _, data := range olPipeline(t) {
		doc := s.check(t, data)
		all = append(all, doc)
		for name := range s.facets {
			if strings.Contains(string(data), `"`+name+`":{`) {
				seen[name] = true
			}
		}
	}
	if len(all) != 6 {
		t.Fatalf("%d events", len(all))
	}
	for _, want := range []string{"schema", "columnLineage", "sql", "parent", "ownership", "nominalTime", "sourceCodeLocation", "errorMessage", "jobType", "datasetType", "version", "extractionError", "executionParameters", "sluice_record"} {
		if !seen[want] {
			t.Errorf("no event has the facet %s", want)
		}
	}
	text, _ := json.Marshal(all)
	for _, want := range []string{
		`"namespace":"postgres://db.internal:5432"`, `"name":"shop.public.features"`, `"namespace":"s3://bucket"`, `"name":"raw/x"`, `"namespace":"file"`,
		`"name":"churn@v3"`, `"subtype":"TRANSFORMATION"`, `"subtype":"IDENTITY"`, `"subtype":"AGGREGATION"`, `"type":"INDIRECT"`, `"subtype":"JOIN","type":"INDIRECT"`, `"subtype":"FILTER","type":"INDIRECT"`, `"subtype":"SORT","type":"INDIRECT"`, `"eventType":"FAIL"`, `"masking":true`, `"type":"bigint"`,
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %s", want)
		}
	}
	if bytes.Contains(text, []byte("2026-01-01'")) {
		t.Error("a constant of a statement leaves")
	}
}

// A run that was lost and is back has one START and, after ABORT, its true end: nothing says
// that it is under way for ever, as OTHER would to a consumer that goes by the last event.
func TestOpenLineageOfARunThatIsBack(t *testing.T) {
	s := readSpecification(t)
	o := &OpenLineage{Namespace: "gw-1", Producer: "https://github.com/sluicehq/sluice/tree/v1", Fields: func(_, _ string) []Field { return nil }}
	w := newTeller()
	var told []string
	w.g.Done = func(h Happening) {
		list, err := o.Events(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range list {
			s.check(t, data)
			var ev olEvent
			if err := json.Unmarshal(data, &ev); err != nil {
				t.Fatal(err)
			}
			told = append(told, fmt.Sprint(ev.EventType, " ", len(ev.Outputs), " ", ev.Run.Facets["errorMessage"] != nil))
		}
	}
	const id = "01890000-0000-7000-8000-000000000003"
	lost := func() {
		w.tell(w.by(audit.Event{Kind: audit.RunEnded, Run: id, Outcome: Lost, Error: "nothing was heard of it"}))
	}
	back := func() { w.tell(w.by(audit.Event{Kind: audit.RunBegan, Run: id, Job: "job", Outcome: Back})) }
	w.begins(id, "")
	lost()
	var b bytes.Buffer // also if another gateway has read the state meanwhile
	if err := w.g.Save(&b, Mark{}); err != nil {
		t.Fatal(err)
	}
	g, _, err := Load(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	g.Done, w.g = w.g.Done, g
	back()
	lost() // again
	back()
	w.ends(id, "model:m@1")
	if want := []string{"START 0 false", "ABORT 0 true", "ABORT 0 true", "COMPLETE 1 false"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// One START and one end of each run, with the same ID; words of the specification only.
func TestOpenLineageRunsBeginAndEndOnce(t *testing.T) {
	kinds := map[string][]string{}
	for _, data := range olPipeline(t) {
		var ev olEvent
		if err := json.Unmarshal(data, &ev); err != nil {
			t.Fatal(err)
		}
		kinds[ev.Run.RunID] = append(kinds[ev.Run.RunID], ev.EventType)
		for _, d := range ev.Outputs {
			cl, _ := d.Facets["columnLineage"].(map[string]any)
			text, _ := json.Marshal(cl)
			if strings.Contains(d.Name, "features") && strings.Contains(string(text), "scores") {
				t.Error("one output has the sources of another")
			}
		}
	}
	for id, list := range kinds {
		if !slices.Equal(list, []string{"START", "COMPLETE"}) && !slices.Equal(list, []string{"START", "FAIL"}) {
			t.Errorf("%s: %q", id, list)
		}
	}
}

// The schemas notice what is wrong: else the tests above would show nothing.
func TestTheSpecificationRefusesWhatIsWrong(t *testing.T) {
	s := readSpecification(t)
	for _, text := range []string{
		`{"eventTime":"yesterday","producer":"x:y","schemaURL":"x:y","run":{"runId":"01890000-0000-7000-8000-000000000001"},"job":{"namespace":"a","name":"b"}}`,
		`{"eventTime":"2026-01-01T00:00:00Z","producer":"x:y","schemaURL":"x:y","run":{"runId":"r1"},"job":{"namespace":"a","name":"b"}}`,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if s.event.Validate(doc) == nil {
			t.Errorf("it is taken: %s", text)
		}
	}
	if s.facets["columnLineage"].Validate(map[string]any{"columnLineage": map[string]any{"_producer": "x:y", "_schemaURL": "x:y"}}) == nil {
		t.Error("a columnLineage facet without fields is taken")
	}
}
