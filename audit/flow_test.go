package audit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFlowsComeBackAsTheyWere(t *testing.T) {
	want := []Flow{
		{Into: "public.f.total", How: FlowDerived, From: []string{"public.o.amount", "public.o.tax"}},
		{How: FlowDirect, Masked: true, From: []string{"public.c.email"}},
		{Into: "-", How: FlowUnknown},
		{Into: "public.f", How: FlowSteers, Roles: []string{"join", "sort", "conditional"}, From: []string{"public.o.day"}},
		{Into: "odd one.t%20.a b", How: FlowCounted, From: []string{"x. > y.%25", "-"}},
	}
	var got []Flow
	for _, text := range FormatFlows(want) {
		f, err := ParseFlow(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got = append(got, f)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// What is no way, or says the same twice, is not read as one.
func TestFlowsThatSayWhatIsNotAreRefused(t *testing.T) {
	for _, text := range []string{"- steers+other a", "- direct+filter a", "- steers+filter+join a", "- steers+filter+filter a", "- steers+ a", "- direct+masked+masked a", "- +filter a"} {
		if f, err := ParseFlow(text); err == nil {
			t.Errorf("%q is %+v", text, f)
		}
	}
}

// A name that looks like a flow does not become one.
func TestFlowNameCannotPoseAsAnother(t *testing.T) {
	hostile := "public.t.a direct public.customers.email"
	list := FormatFlows([]Flow{{Into: hostile, How: FlowSteers, From: []string{hostile}}})
	f, err := ParseFlow(list[0])
	if err != nil || f.Into != hostile || f.How != FlowSteers || len(f.From) != 1 || f.From[0] != hostile {
		t.Errorf("%+v %v", f, err)
	}
}

func TestLongFlowsAreNotCut(t *testing.T) {
	var from []string
	for range 40 {
		from = append(from, "public."+strings.Repeat("x", 63)+"."+strings.Repeat("y", 63))
	}
	list := FormatFlows([]Flow{{Into: "public.t.c", How: FlowDirect, From: from}})
	n := 0
	for _, text := range list {
		f, err := ParseFlow(text)
		if err != nil || len(text) > maxNameBytes {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		n += len(f.From)
	}
	if n != len(from) {
		t.Errorf("%d of %d sources", n, len(from))
	}
}

func FuzzParseFlow(f *testing.F) {
	for _, s := range []string{"- direct public.a.b", "public.t.c derived+masked x y", "", " ", "a", "%2d unknown", "a  b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		flow, err := ParseFlow(s)
		if err != nil {
			return
		}
		var back Flow
		for i, text := range FormatFlows([]Flow{flow}) {
			again, err := ParseFlow(text)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				back = again
			} else {
				back.From = append(back.From, again.From...)
			}
		}
		if d := cmp.Diff(flow, back); d != "" {
			t.Error(d)
		}
	})
}
