package lineage

import (
	"fmt"
	"strings"
)

// edgeWords label an edge in a drawing.
func edgeWords(e AnswerEdge) string {
	words := e.How
	if e.Masked {
		words += ", masked"
	}
	if e.Claimed {
		words += ", claimed"
	}
	if len(e.Approvers) > 0 {
		words += ", approved by " + strings.Join(e.Approvers, ", ")
	}
	return words
}

func (n AnswerNode) words() string {
	title := n.Title
	if n.Run != nil {
		title = "run of " + n.Run.Job + " by " + n.Run.Who
	}
	if n.Label != "" {
		title += " [" + n.Label + "]"
	}
	return title
}

// DOT is the answer in the language of Graphviz.
func (a *Answer) DOT() string {
	quote := func(s string) string {
		s = strings.Map(func(r rune) rune {
			if r < ' ' {
				return ' '
			}
			return r
		}, s)
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	shapes := map[string]string{"table": "cylinder", "column": "box", "file": "note", "dataset": "folder", "model": "component", "run": "cds", "person": "oval", "job": "oval", "agent": "oval"}
	var b strings.Builder
	b.WriteString("digraph lineage {\n  rankdir=LR;\n  node [fontname=\"sans-serif\", fontsize=10];\n  edge [fontname=\"sans-serif\", fontsize=8];\n")
	for i, n := range a.Nodes {
		style := ""
		if n.Claimed {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  n%d [label=%s, shape=%s%s];\n", i, quote(n.words()), shapes[n.Kind], style)
	}
	for _, e := range a.Edges {
		style := ""
		if e.Claimed || e.How == "unknown" {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  n%d -> n%d [label=%s%s];\n", e.From, e.Into, quote(edgeWords(e)), style)
	}
	b.WriteString("}\n")
	return b.String()
}

// Mermaid is the answer as a Mermaid flowchart, which code hosts draw in Markdown.
func (a *Answer) Mermaid() string {
	// Entities of Mermaid: everything that could end a label or begin markup.
	quote := func(s string) string {
		var b strings.Builder
		for _, r := range s {
			switch {
			case r < ' ':
				b.WriteByte(' ')
			case strings.ContainsRune("\"#<>&`;|\\[]{}()", r):
				fmt.Fprintf(&b, "#%d;", r)
			default:
				b.WriteRune(r)
			}
		}
		return `"` + b.String() + `"`
	}
	shapes := map[string][2]string{"table": {"[(", ")]"}, "column": {"[", "]"}, "model": {"[[", "]]"}, "run": {"{{", "}}"}, "person": {"([", "])"}, "job": {"([", "])"}, "agent": {"([", "])"}}
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for i, n := range a.Nodes {
		s, ok := shapes[n.Kind]
		if !ok {
			s = [2]string{"[/", "/]"}
		}
		fmt.Fprintf(&b, "  n%d%s%s%s\n", i, s[0], quote(n.words()), s[1])
	}
	for _, e := range a.Edges {
		arrow := "-->"
		if e.Claimed || e.How == "unknown" {
			arrow = "-.->"
		}
		fmt.Fprintf(&b, "  n%d %s|%s| n%d\n", e.From, arrow, quote(edgeWords(e)), e.Into)
	}
	return b.String()
}
