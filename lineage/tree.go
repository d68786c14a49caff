package lineage

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Paint colours a part of a tree: "name", "label", "dim", "warn". It may be nil.
type Paint func(role, text string) string

// phrases say how data moved along an edge, seen from its target (up) and its source.
var phrases = map[string][2]string{
	"direct": {"copied from", "copied to"}, "derived": {"computed from", "computed into"}, "counted": {"counts", "counted in"},
	"steers": {"chosen by", "chooses for"}, "unknown": {"perhaps from", "perhaps into"}, "sent": {"written by", "wrote"},
	"renamed": {"was", "now"}, "used": {"given", "given to"}, "made": {"made by", "made"}, "part": {"with", "part of"},
}

// readPhrases are those of what a caller or a run was given.
var readPhrases = map[string][2]string{
	"direct": {"read", "read by"}, "derived": {"read what was computed from", "read, computed, by"}, "counted": {"counted", "counted by"},
	"steers": {"chose by", "chose for"}, "unknown": {"perhaps read", "perhaps read by"},
}

// branch is what one line of a tree shows: the edges between two nodes in one way.
type branch struct {
	node  int
	edges []AnswerEdge
}

// tree draws an answer.
type tree struct {
	a     *Answer
	paint Paint
	next  map[int][]branch
	shown map[int]bool
	out   strings.Builder
	zone  *time.Location
}

// Tree is the answer as a tree, a line for each way. clean makes names from elsewhere fit
// for a terminal.
func (a *Answer) Tree(paint Paint, clean func(string) string, zone *time.Location) string {
	if paint == nil {
		paint = func(_, text string) string { return text }
	}
	t := &tree{a: a, paint: func(role, text string) string { return paint(role, clean(text)) }, next: map[int][]branch{}, shown: map[int]bool{}, zone: zone}
	t.grow()
	for _, r := range a.Roots {
		fmt.Fprintln(&t.out, t.title(r, true))
		t.shown[r] = true
		t.below(r, "")
	}
	if len(a.Edges) == 0 {
		said := "nothing went from it to anywhere"
		switch {
		case a.Question.Up:
			said = "the record does not say where it came from"
		case a.Question.Models:
			said = "no model has seen it"
		}
		fmt.Fprintln(&t.out, "└─ "+t.paint("dim", said))
	}
	return t.out.String()
}

// grow sorts edges by the node that they are shown under.
func (t *tree) grow() {
	type key struct {
		near, far   int
		how         string
		masked, old bool
	}
	at := map[key]int{}
	for _, e := range t.a.Edges {
		near, far := e.From, e.Into
		if t.a.Question.Up {
			near, far = far, near
		}
		k := key{near, far, e.How, e.Masked, !e.Until.IsZero()}
		i, ok := at[k]
		if !ok {
			i = len(t.next[near])
			at[k] = i
			t.next[near] = append(t.next[near], branch{node: far})
		}
		t.next[near][i].edges = append(t.next[near][i].edges, e)
	}
}

// members are the columns of a table that were not shown yet, and the table of a column:
// what went into the table may have gone into it.
func (t *tree) members(n int) (list []int) {
	me := t.a.Nodes[n]
	for i, o := range t.a.Nodes {
		if o.Connection != me.Connection || o.Name != me.Name || i == n {
			continue
		}
		if whole(me) && o.Kind == "column" && !t.shown[i] || me.Kind == "column" && whole(o) && !slices.Contains(t.a.Roots, i) {
			list = append(list, i)
		}
	}
	return list
}

// whole says whether a node is something that has columns.
func whole(n AnswerNode) bool { return n.Kind == "table" || n.Kind == "dataset" }

func (t *tree) below(n int, indent string) {
	type line struct {
		branch
		member bool
	}
	var lines []line
	for _, b := range t.next[n] {
		lines = append(lines, line{branch: b})
	}
	for _, m := range t.members(n) {
		if len(t.next[m]) == 0 {
			continue
		}
		if whole(t.a.Nodes[n]) {
			lines = append(lines, line{branch: branch{node: m}, member: true})
			continue
		}
		for _, b := range t.next[m] {
			lines = append(lines, line{branch: b})
		}
	}
	for i, l := range lines {
		fork, deeper := "├─ ", "│  "
		if i == len(lines)-1 {
			fork, deeper = "└─ ", "   "
		}
		text := t.title(l.node, l.member)
		if !l.member {
			text = t.edge(l.branch) + " " + text + t.why(l.branch)
		}
		again := t.shown[l.node] && (len(t.next[l.node]) > 0)
		if again {
			text += t.paint("dim", " (above)")
		}
		fmt.Fprintln(&t.out, indent+fork+text)
		if !again {
			t.shown[l.node] = true
			t.below(l.node, indent+deeper)
		}
	}
}

func (t *tree) edge(b branch) string {
	e := b.edges[0]
	table := phrases
	if into := t.a.Nodes[e.Into].Kind; into == "run" || into == "person" || into == "job" || into == "agent" {
		if _, ok := readPhrases[e.How]; ok {
			table = readPhrases
		}
	}
	words := table[e.How][1]
	if t.a.Question.Up {
		words = table[e.How][0]
	}
	return words
}

func (t *tree) title(n int, bare bool) string {
	node := t.a.Nodes[n]
	name := node.Title
	if bare && node.Kind == "column" {
		name = node.Column
		if slices.Contains(t.a.Roots, n) {
			name = node.Title
		}
	}
	if r := node.Run; r != nil {
		name = "run of " + r.Job
	}
	out := t.paint("name", name)
	if node.Label != "" {
		out += " " + t.paint("label", "["+node.Label+"]")
	}
	var more []string
	if r := node.Run; r != nil {
		more = append(more, "run:"+node.Name, "by "+r.Who)
		if r.Owner != "" {
			more = append(more, "for "+r.Owner)
		}
		more = append(more, r.Began.In(t.zone).Format(time.DateTime))
		if r.Status == "" {
			more = append(more, "under way")
		} else {
			more = append(more, r.Status)
		}
		for _, f := range r.Facts {
			if v, ok := strings.CutPrefix(f, "git.commit="); ok {
				more = append(more, "commit "+v[:min(len(v), 12)])
			}
		}
	}
	if node.Hash != "" {
		more = append(more, node.Hash[:min(len(node.Hash), 19)]+"…")
	}
	if len(more) > 0 {
		out += t.paint("dim", " ("+strings.Join(more, ", ")+")")
	}
	if node.Claimed {
		out += t.paint("warn", " claimed, not proven")
	}
	return out
}

// why says by whom and under which approval.
func (t *tree) why(b branch) string {
	var who, yes []string
	var count uint64
	verbs, later := map[string]bool{}, false
	last := b.edges[0]
	for _, e := range b.edges {
		name := e.Who
		if e.Owner != "" {
			name += " for " + e.Owner
		}
		if !slices.Contains(who, name) {
			who = append(who, name)
		}
		for _, a := range e.Approvers {
			if !slices.Contains(yes, a) {
				yes = append(yes, a)
			}
		}
		if e.Approved != "" && !slices.Contains(yes, e.Approved) {
			yes = append(yes, e.Approved)
		}
		count += uint64(e.Count)
		verbs[e.Verb], later = true, later || e.Later
		if e.Last.After(last.Last) {
			last = e
		}
	}
	var parts []string
	if last.How != "made" && last.How != "used" && last.How != "part" {
		sink := t.a.Nodes[last.Into].Kind
		words := last.Verb
		if len(verbs) > 1 {
			words = fmt.Sprintf("%d kinds of statement", len(verbs))
		}
		switch {
		case last.How == "sent", sink == "person", sink == "job", sink == "agent", sink == "run":
		case len(who) > 3:
			words += fmt.Sprintf(" by %s and %d more", strings.Join(who[:2], ", "), len(who)-2)
		default:
			words += " by " + strings.Join(who, ", ")
		}
		parts = append(parts, words)
		if count > 1 {
			parts = append(parts, fmt.Sprintf("%d times", count))
		}
		when := last.Last.In(t.zone).Format(time.DateTime)
		if later {
			when = "from " + when + " on"
		}
		parts = append(parts, when)
	}
	if len(yes) > 0 {
		parts = append(parts, "approved by "+strings.Join(yes, ", "))
	}
	if !last.Until.IsZero() {
		parts = append(parts, "gone since "+last.Until.In(t.zone).Format(time.DateTime))
	}
	out := ""
	if last.Masked {
		out += t.paint("label", " masked")
	}
	if last.Claimed && !t.a.Nodes[last.From].Claimed && !t.a.Nodes[last.Into].Claimed {
		out += t.paint("warn", " claimed, not proven")
	}
	if len(parts) > 0 {
		out += t.paint("dim", " · "+strings.Join(parts, " · "))
	}
	return out
}
