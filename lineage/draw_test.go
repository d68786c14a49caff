package lineage

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// hostile is a name that would end a string, a label, a script or a line, where it can.
const hostile = "public.t</script><script>alert(1)</script>\"];\n\x1b[2J#|`}.x"

func hostileAnswer(t *testing.T) *Answer {
	t.Helper()
	w := newTeller()
	w.run(audit.Event{Statement: "insert", Reads: []string{hostile}, Writes: []string{"public.b"},
		Flows: audit.FormatFlows([]audit.Flow{{Into: "public.b.x", How: audit.FlowDirect, From: []string{hostile}}})}, "ok")
	a, err := w.g.Ask(Question{Target: "b.x", Up: true})
	if err != nil || len(a.Edges) != 1 {
		t.Fatal(a, err)
	}
	return a
}

// A name in the graph is text, whatever it looks like.
func TestNamesDoNotBecomeMarkup(t *testing.T) {
	a := hostileAnswer(t)
	var page strings.Builder
	if err := a.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(page.String(), "<script"); n != 2 {
		t.Errorf("%d scripts in the page", n)
	}
	if strings.Contains(page.String(), "innerHTML") || regexp.MustCompile(`(src|href)=|https?://[^w]`).MatchString(strings.ReplaceAll(page.String(), "http://www.w3.org/2000/svg", "")) {
		t.Error("the page takes something from elsewhere, or makes markup of text")
	}
	_, rest, _ := strings.Cut(page.String(), `id="data">`)
	data, _, _ := strings.Cut(rest, "</script>")
	var back Answer
	if err := json.Unmarshal([]byte(data), &back); err != nil || len(back.Nodes) != 2 {
		t.Errorf("the data does not come back: %v", err)
	}
	dot := a.DOT()
	if strings.Count(dot, "\n") != 8 || strings.Count(regexp.MustCompile(`\\.`).ReplaceAllString(dot, ""), `"`)%2 != 0 {
		t.Errorf("DOT: %s", dot)
	}
	mermaid := a.Mermaid()
	if strings.Count(mermaid, "\n") != 4 || strings.ContainsAny(strings.ReplaceAll(mermaid, "-->", ""), "<>`") {
		t.Errorf("Mermaid: %s", mermaid)
	}
}

func TestTreeOfNothing(t *testing.T) {
	w := newTeller()
	w.copies("public.a.x", "public.b.x", "ok")
	for _, up := range []bool{true, false} {
		a, err := w.g.Ask(Question{Target: map[bool]string{true: "a.x", false: "b.x"}[up], Up: up})
		if err != nil {
			t.Fatal(err)
		}
		tree := a.Tree(nil, strings.ToUpper, time.UTC)
		if !strings.Contains(tree, map[bool]string{true: "DOES NOT SAY", false: "NOTHING WENT"}[up]) {
			t.Errorf("%s", tree)
		}
	}
}
