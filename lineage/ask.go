package lineage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// Question asks where something came from, or where it went.
type Question struct {
	Target string    `json:"target"`           // "customers.email", "orders:public.customers", "model:churn@v3", "run:ID", a URI, a person
	Up     bool      `json:"up,omitempty"`     // where it came from; else where it went
	Depth  int       `json:"depth,omitempty"`  // steps at most; 0 is all
	At     time.Time `json:"at,omitzero"`      // the graph as it was then
	Since  time.Time `json:"since,omitzero"`   // only what moved at or after this time
	Steers bool      `json:"steers,omitempty"` // also by columns that only decided which rows
	Models bool      `json:"models,omitempty"` // only ways that lead to models

	Who string `json:"-"` // only what this identity did itself; "" is all
}

// Answer is a part of the graph.
type Answer struct {
	Question Question     `json:"question"`
	Roots    []int        `json:"roots"` // nodes that the target is
	Nodes    []AnswerNode `json:"nodes"`
	Edges    []AnswerEdge `json:"edges"`
	More     bool         `json:"more,omitempty"` // there is more than an answer can have
	Events   uint64       `json:"events"`         // entries of the record that the graph was made of
	Note     string       `json:"note,omitempty"` // a sentence about the graph: that it is not whole
}

// AnswerNode is a node of an answer.
type AnswerNode struct {
	Kind       string     `json:"kind"`
	Title      string     `json:"title"`
	Connection string     `json:"connection,omitempty"`
	Name       string     `json:"name"`
	Column     string     `json:"column,omitempty"`
	Label      string     `json:"label,omitempty"` // type of personal data
	Hash       string     `json:"hash,omitempty"`
	Path       string     `json:"path,omitempty"`
	Claimed    bool       `json:"claimed,omitempty"`
	Run        *AnswerRun `json:"run,omitempty"`
	Depth      int        `json:"depth"`

	id int32
}

// AnswerRun is a run of an answer.
type AnswerRun struct {
	Job     string    `json:"job"`
	Who     string    `json:"who"`
	Owner   string    `json:"owner,omitempty"`
	Parent  string    `json:"parent,omitempty"`
	Command string    `json:"command,omitempty"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`
	Status  string    `json:"status,omitempty"` // ok, error, lost; "" while it runs
	Error   string    `json:"error,omitempty"`
	Facts   []string  `json:"facts,omitempty"`
}

// AnswerEdge is an edge of an answer.
type AnswerEdge struct {
	ID        string    `json:"id"` // the same in each answer, and for sluice lineage prove
	From      int       `json:"from"`
	Into      int       `json:"into"`
	How       string    `json:"how"`
	Masked    bool      `json:"masked,omitempty"` // something else was given in its place
	Claimed   bool      `json:"claimed,omitempty"`
	Count     uint32    `json:"count"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Later     bool      `json:"later,omitempty"` // it happened again after the time that counts here, so that only the first is sure to count
	Until     time.Time `json:"until,omitzero"`  // when the target was emptied, dropped or renamed
	Who       string    `json:"who"`
	Kind      string    `json:"kind,omitempty"` // of the caller
	Owner     string    `json:"owner,omitempty"`
	Job       string    `json:"job,omitempty"`
	Verb      string    `json:"verb"`
	Rule      string    `json:"rule,omitempty"`
	Approvers []string  `json:"approvers,omitempty"`
	Approved  string    `json:"approved,omitempty"` // if ahead of time: as what
	Entries   []string  `json:"entries"`            // of the record: of the first time and the last
}

// Limits of an answer. A person reads less, and a browser draws less.
const (
	maxAnswerNodes = 2_000
	maxAnswerEdges = 5_000
	// maxVisits is how often one node is looked at for different times; then the widest
	// of them counts.
	maxVisits = 8
)

// forever is after every time.
const forever = int64(1) << 62

// walk is one question under way.
type walk struct {
	g      *Graph
	q      Question
	since  int64
	at     int64
	number map[int32]int   // of nodes in the answer
	taken  map[int32]int64 // edges, up to when they count
	visits map[int32][]span
	queue  []visit
	answer Answer
	edges  []int32
}

// span is when what is followed is in a node: up, all that came before until; down, all
// that leaves from then on, and before until.
type span struct{ from, until int64 }

type visit struct {
	node  int32
	depth int
	span
}

// Ask answers a question. It takes time for what it finds, not for what the graph has.
func (g *Graph) Ask(q Question) (*Answer, error) {
	roots, err := g.find(q.Target, q.Who)
	if err != nil {
		return nil, err
	}
	w := &walk{g: g, q: q, since: micros(q.Since, 0), at: micros(q.At, forever), number: map[int32]int{}, taken: map[int32]int64{}, visits: map[int32][]span{}}
	w.answer = Answer{Question: q, Events: g.Events, Nodes: []AnswerNode{}, Edges: []AnswerEdge{}}
	if g.Full {
		w.answer.Note = "the graph is full, and what came later may be missing"
	}
	for _, n := range roots {
		w.answer.Roots = append(w.answer.Roots, w.add(n, 0))
		for _, c := range append([]int32{n}, g.kids[n]...) {
			w.queue = append(w.queue, visit{node: c, span: span{0, w.at}})
		}
	}
	for len(w.queue) > 0 && !w.answer.More {
		v := w.queue[0]
		w.queue = w.queue[1:]
		w.visit(v)
	}
	w.finish()
	if q.Models {
		w.answer.onlyModels()
	}
	return &w.answer, nil
}

func micros(t time.Time, zero int64) int64 {
	if t.IsZero() {
		return zero
	}
	return t.UnixMicro()
}

// add gives the number of a node in the answer.
func (w *walk) add(n int32, depth int) int {
	if i, ok := w.number[n]; ok {
		return i
	}
	node := &w.g.Nodes[n]
	i := len(w.answer.Nodes)
	w.number[n] = i
	w.answer.Nodes = append(w.answer.Nodes, AnswerNode{
		Kind: node.Kind.String(), Title: node.Title(), Connection: node.Connection, Name: node.Name, Column: node.Column, Label: node.Label,
		Hash: node.Hash, Path: node.Path, Claimed: node.Claimed, Depth: depth, Run: answerRun(node.Info), id: n,
	})
	w.answer.More = w.answer.More || len(w.answer.Nodes) >= maxAnswerNodes
	return i
}

func answerRun(in *Info) *AnswerRun {
	if in == nil {
		return nil
	}
	r := &AnswerRun{Job: in.Job, Who: in.Who, Owner: in.Owner, Parent: in.Parent, Command: in.Command, Began: time.UnixMicro(in.Began).UTC(), Status: in.Status, Error: in.Error, Facts: in.Facts}
	if in.Ended > 0 {
		r.Ended = time.UnixMicro(in.Ended).UTC()
	}
	return r
}

// visit follows the edges of one node.
func (w *walk) visit(v visit) {
	if w.q.Depth > 0 && v.depth >= w.q.Depth || w.seen(v) {
		return
	}
	// Edges of the relation concern each of its columns.
	nodes := []int32{v.node}
	if p := w.g.Nodes[v.node].Parent; p >= 0 {
		nodes = append(nodes, p)
	}
	for i, n := range nodes {
		list := w.g.out[n]
		if w.q.Up {
			list = w.g.in[n]
		}
		for _, e := range list {
			w.follow(v, e, i > 0)
			if w.answer.More {
				return
			}
		}
	}
}

// seen reports whether a node was looked at for a span that this one is within.
func (w *walk) seen(v visit) bool {
	spans := w.visits[v.node]
	for _, s := range spans {
		if s == v.span {
			return true
		}
	}
	if len(spans) >= maxVisits {
		if spans[0].from == 0 && spans[0].until == forever {
			return true
		}
		w.visits[v.node] = []span{{0, forever}}
		return false
	}
	w.visits[v.node] = append(spans, v.span)
	return false
}

// follow goes along an edge, if data can have taken it in the span of the visit; whole
// says that the edge is of the relation of which a column is looked at.
func (w *walk) follow(v visit, i int32, whole bool) {
	e := &w.g.Edges[i]
	act := &w.g.Acts[e.By]
	switch {
	case e.How == Steers && !w.q.Steers, e.First > w.at, e.Last < w.since:
		return
	case w.q.Who != "" && act.Subject != w.q.Who && act.Owner != w.q.Who:
		return
	}
	next := visit{depth: v.depth + 1}
	if w.q.Up {
		if e.First > v.until || e.Ended > 0 && e.Ended <= v.until {
			return // it came later, or was gone by then
		}
		next.node, next.span = e.From, span{0, min(e.Last, v.until)}
	} else {
		if e.Last < v.from || e.First >= v.until && v.until != w.at {
			return
		}
		until := w.at
		if e.Ended > 0 && e.Ended < until {
			until = e.Ended
		}
		next.node, next.span = e.Into, span{max(e.First, v.from), until}
	}
	if len(w.edges) >= maxAnswerEdges {
		w.answer.More = true
		return
	}
	far := next.node
	near := v.node
	if whole {
		near = w.g.Nodes[v.node].Parent
		if e.How == Renamed {
			next.node = w.sameColumn(far, v.node) // its columns kept their names
		}
	}
	if _, ok := w.taken[i]; !ok {
		w.edges = append(w.edges, i)
	}
	w.taken[i] = max(w.taken[i], v.until)
	w.add(near, v.depth)
	w.add(far, next.depth)
	if passes(w.g.Nodes[next.node].Kind) {
		w.queue = append(w.queue, next)
		if next.node == far && w.g.Nodes[far].Kind == Relation {
			for _, c := range w.g.kids[far] { // nobody knows which column it is
				next.node = c
				w.queue = append(w.queue, next)
			}
		}
	}
}

// sameColumn is the column of a relation that has the name of another column; the
// relation if it is not known.
func (w *walk) sameColumn(relation, column int32) int32 {
	for _, c := range w.g.kids[relation] {
		if w.g.Nodes[c].Column == w.g.Nodes[column].Column {
			return c
		}
	}
	return relation
}

// passes reports whether data goes on from nodes of a kind. People forget nothing either,
// but what they type is no copy of what they read.
func passes(k Kind) bool { return k != Person && k != Agent && k != Job }

func (w *walk) finish() {
	g := w.g
	for _, i := range w.edges {
		e := &g.Edges[i]
		act := &g.Acts[e.By]
		out := AnswerEdge{
			ID: g.EdgeID(i), From: w.add(e.From, 0), Into: w.add(e.Into, 0), How: e.How.String(), Masked: e.Masked, Claimed: act.Claimed || e.How == Used && g.Nodes[e.From].Claimed, Count: e.Count,
			First: time.UnixMicro(e.First).UTC(), Last: time.UnixMicro(e.Last).UTC(), Who: act.Who, Kind: act.CallerKind, Owner: act.Owner, Job: act.Job,
			Verb: act.Verb, Rule: act.Rule, Approvers: act.Approvers, Approved: act.Reason, Entries: g.entries(e),
		}
		if until, bound := w.taken[i]; bound && e.Last > until {
			out.Later, out.Count, out.Last, out.Entries = true, 1, out.First, g.entries(&Edge{From: e.From, Into: e.Into, A: e.A, B: e.A})
		}
		if e.Ended > 0 && e.Ended <= w.at {
			out.Until = time.UnixMicro(e.Ended).UTC()
		}
		w.answer.Edges = append(w.answer.Edges, out)
		w.hash(e)
	}
}

// hash gives a data set the hash that it had when a run of the answer was given or made it.
func (w *walk) hash(e *Edge) {
	run, thing := e.From, e.Into
	if e.How == Used {
		run, thing = thing, run
	}
	in := w.g.Nodes[run].Info
	if in == nil || e.How != Made && e.How != Used {
		return
	}
	list := in.Outputs
	if e.How == Used {
		list = in.Inputs
	}
	for _, text := range list {
		a := audit.ParseArtifact(text)
		kind, connection, name, column := named(a.Name)
		if n, ok := w.g.keys[nodeKey(kind, connection, name, column)]; ok && n == thing {
			node := &w.answer.Nodes[w.number[thing]]
			node.Hash, node.Path = a.Hash, a.Path
		}
	}
}

// entries are the IDs of what shows an edge, in the order of the record.
func (g *Graph) entries(e *Edge) (ids []string) {
	var seqs []int64
	for _, ev := range []Evidence{e.A, e.B} {
		for _, s := range []int64{ev.Decided, ev.Answered, ev.Finished, ev.Commit, ev.Began} {
			if s >= 0 && !slices.Contains(seqs, s) {
				seqs = append(seqs, s)
			}
		}
	}
	for _, n := range []int32{e.From, e.Into} {
		if in := g.Nodes[n].Info; in != nil && in.BeganSeq >= 0 && !slices.Contains(seqs, in.BeganSeq) {
			seqs = append(seqs, in.BeganSeq)
		}
	}
	slices.Sort(seqs)
	for _, s := range seqs {
		ids = append(ids, fmt.Sprint(g.Prefix, s))
	}
	return ids
}

// onlyModels keeps what leads to models.
func (a *Answer) onlyModels() {
	into, family := map[int][]int{}, map[string][]int{}
	name := func(n AnswerNode) string { return n.Connection + "\x00" + n.Name }
	for _, e := range a.Edges {
		into[e.Into] = append(into[e.Into], e.From)
	}
	var queue []int
	for i, n := range a.Nodes {
		if n.Kind == Model.String() {
			queue = append(queue, i)
		}
		if whole(n) {
			family[name(n)] = append(family[name(n)], i)
		}
	}
	keep := make([]bool, len(a.Nodes))
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		if keep[i] {
			continue
		}
		keep[i] = true
		queue = append(queue, into[i]...)
		if a.Nodes[i].Kind == Column.String() { // what came into its table may have come into it
			queue = append(queue, family[name(a.Nodes[i])]...)
		}
	}
	for _, r := range a.Roots {
		keep[r] = true
	}
	number := make([]int, len(a.Nodes))
	var nodes []AnswerNode
	for i, n := range a.Nodes {
		number[i] = len(nodes)
		if keep[i] {
			nodes = append(nodes, n)
		}
	}
	edges := []AnswerEdge{}
	for _, e := range a.Edges {
		if keep[e.From] && keep[e.Into] {
			e.From, e.Into = number[e.From], number[e.Into]
			edges = append(edges, e)
		}
	}
	for i, r := range a.Roots {
		a.Roots[i] = number[r]
	}
	a.Nodes, a.Edges = nodes, edges
}

// Unfound says that a target is not in the graph, or is not one thing.
type Unfound struct {
	Target string
	May    []string // what it may be, if it is several things
}

func (u *Unfound) Error() string {
	if len(u.May) == 0 {
		return fmt.Sprintf("nothing in the record is called %q", u.Target)
	}
	return fmt.Sprintf("%q may be %s", u.Target, strings.Join(u.May, ", "))
}

// find gives the nodes that a target names. who is whose they must be, "" for all.
func (g *Graph) find(target, who string) ([]int32, error) {
	found := map[int32]bool{}
	for _, k := range []Kind{Model, Dataset, Person, Job, Agent} {
		if n, ok := g.keys[nodeKey(k, "", target, "")]; ok {
			found[n] = true
		}
	}
	if i := strings.LastIndexByte(target, '#'); i > 0 {
		if n, ok := g.keys[nodeKey(Column, "", target[:i], target[i+1:])]; ok {
			found[n] = true
		}
	}
	if id, ok := strings.CutPrefix(target, "run:"); ok {
		if n, ok := g.keys[nodeKey(Run, "", id, "")]; ok {
			found[n] = true
		}
	}
	connection, name := "", target
	if c, rest, ok := strings.Cut(target, ":"); ok && !strings.HasPrefix(rest, "//") && c != "model" && c != "run" {
		connection, name = c, rest
	}
	for _, n := range g.last[name[strings.LastIndexByte(name, '.')+1:]] {
		node := &g.Nodes[n]
		if node.Connection == "" {
			continue // by its whole name only
		}
		whole := node.Name
		if node.Kind == Column {
			whole += "." + node.Column
		}
		if (connection == "" || node.Connection == connection) && strings.HasSuffix("."+whole, "."+name) && !(node.Kind == Column && !strings.Contains(name, ".")) {
			found[n] = true
		}
	}
	if len(found) == 0 && strings.HasPrefix(target, "model:") && !strings.Contains(target, "@") {
		for key, n := range g.keys { // a question that is rarely asked
			if key.kind == Model && strings.HasPrefix(g.Nodes[n].Name, target+"@") {
				found[n] = true
			}
		}
	}
	var list []int32
	for n := range found {
		if who == "" || g.touchedBy(n, who) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	if len(list) == 1 {
		return list, nil
	}
	u := &Unfound{Target: target}
	for _, n := range list {
		if len(u.May) == 10 {
			u.May = append(u.May, fmt.Sprintf("%d more", len(list)-10))
			break
		}
		u.May = append(u.May, g.Nodes[n].Title())
	}
	return nil, u
}

// touchedBy reports whether an identity moved something from a node or into it.
func (g *Graph) touchedBy(n int32, who string) bool {
	for _, c := range append([]int32{n}, g.kids[n]...) {
		for _, list := range [][]int32{g.in[c], g.out[c]} {
			for _, i := range list {
				if a := &g.Acts[g.Edges[i].By]; a.Subject == who || a.Owner == who {
					return true
				}
			}
		}
	}
	return g.Nodes[n].Info != nil && (g.Nodes[n].Info.Subject == who || g.Nodes[n].Info.Owner == who)
}
