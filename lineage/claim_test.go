package lineage

import (
	"slices"
	"strings"
	"testing"
)

func ourDatabases(at, database string) string {
	if at == "db.internal:5432" && database == "shop" || at == "" && database == "orders" {
		return "orders"
	}
	return ""
}

// What we say of a run, somebody can bring to another gateway.
func TestClaimsJoinWhatStatementsMoved(t *testing.T) {
	w := newTeller()
	w.copies("public.a.x", "public.raw.amount", "ok")
	for _, data := range [][]byte{
		[]byte(`{"eventType":"START","eventTime":"2026-01-01T00:00:00Z","run":{"runId":"r9","facets":{"parent":{"run":{"runId":"p"},"job":{"namespace":"airflow","name":"dag.t"}}}},
			"job":{"namespace":"spark","name":"etl"},"inputs":[{"namespace":"postgres://db.internal:5432","name":"shop.public.raw"},{"namespace":"s3://lake","name":"in/x"}]}`),
		[]byte(`{"eventType":"COMPLETE","eventTime":"2026-01-01T00:01:00Z","run":{"runId":"r9"},"job":{"namespace":"spark","name":"etl"},
			"outputs":[{"namespace":"s3://lake","name":"out/y","facets":{"columnLineage":{"fields":{"total":{"inputFields":[
			{"namespace":"postgres://db.internal","name":"shop.public.raw","field":"amount","transformations":[{"type":"INDIRECT","subtype":"FILTER"},{"type":"DIRECT","subtype":"IDENTITY","masking":true}]}]}},
			"dataset":[{"namespace":"s3://lake","name":"in/x","field":"day","transformations":[{"type":"INDIRECT"}]}]}}},{"namespace":"model","name":"big@1"}]}`),
	} {
		ev, err := Claim(data, ourDatabases)
		if err != nil {
			t.Fatal(err)
		}
		who := w.by(ev)
		who.Kind, who.Run, who.Session, who.Connection = ev.Kind, ev.Run, "", ""
		w.tell(who)
	}
	same(t, w.up(t, "s3://lake/out/y"), "orders:public.a.x direct orders:public.raw.amount", "orders:public.raw.amount direct+masked s3://lake/out/y#total")
	same(t, w.up(t, "model:big@1"), "orders:public.a.x direct orders:public.raw.amount", "orders:public.raw used run:r9", "run:r9 made model:big@1", "s3://lake/in/x used run:r9")
	same(t, w.edges(t, Question{Target: "s3://lake/in/x#day", Steers: true}), "run:r9 made model:big@1", "s3://lake/in/x used run:r9", "s3://lake/in/x#day steers s3://lake/out/y")
}

func TestWhatIsNoEventIsNotTaken(t *testing.T) {
	for _, data := range []string{"", "[]", "null", "{}", `{"run":{"runId":""}}`, `{"run":{"runId":"x"}}`, `{"run":{"runId":"x"},"job":{}}`, `{"run":7}`} {
		if _, err := Claim([]byte(data), ourDatabases); err == nil {
			t.Errorf("%s is taken", data)
		}
	}
	long := `{"run":{"runId":"` + strings.Repeat("x", MaxClaim) + `"}}`
	if _, err := Claim([]byte(long), ourDatabases); err == nil {
		t.Error("a long one is taken")
	}
}

// A claim cannot pass for what the gateway saw: a run of the gateway's own is not touched.
func TestAClaimOfARunOfOursIsNoWordOfIt(t *testing.T) {
	w := newTeller()
	w.begins("r1", "")
	ev, err := Claim([]byte(`{"eventType":"COMPLETE","run":{"runId":"r1"},"job":{"namespace":"x","name":"evil"},"inputs":[{"namespace":"sluice:pay","name":"public.cards"}],"outputs":[{"namespace":"model","name":"evil@1"}]}`), ourDatabases)
	if err != nil || !slices.Contains(ev.Inputs, "claimed-sluice:pay public.cards") {
		t.Fatal(ev.Inputs, err)
	}
	who := w.by(ev)
	who.Kind, who.Run = ev.Kind, "r1"
	w.tell(who)
	if in, ok := w.g.Open("r1"); !ok || in.Job != "job-r1" {
		t.Errorf("%+v %v", in, ok)
	}
	if _, err := w.g.Ask(Question{Target: "model:evil@1"}); err == nil {
		t.Error("the run made what somebody claimed")
	}
}

func FuzzClaim(f *testing.F) {
	f.Add(`{"eventType":"COMPLETE","run":{"runId":"r"},"job":{"namespace":"n","name":"j"},"outputs":[{"namespace":"a b","name":"c#d","facets":{"columnLineage":{"fields":{"x":{"inputFields":[{"namespace":"e","name":"f","field":"g"}]}}}}}]}`)
	f.Fuzz(func(_ *testing.T, data string) {
		if ev, err := Claim([]byte(data), ourDatabases); err == nil {
			g := New()
			ev.ID = "x-0"
			g.Take(&ev)
			g.Take(&ev)
		}
	})
}
