// Package lineage folds the record into a graph of who moved what from where: columns
// and tables, files, data sets elsewhere, runs of jobs, models, and the people, jobs and
// agents who did it. It promises:
//
//   - What is in the graph comes from entries of the record, and each edge names them. An
//     edge that rests on somebody's word alone says so: it is claimed.
//   - Only what ran counts: a statement that failed, was refused or was rolled back moved
//     nothing. What could not be traced is an edge of the kind Unknown, never a missing one.
//   - One event is folded in time that does not grow with the graph, and adds a bounded
//     number of nodes and edges; the same events make the same graph.
//   - An answer shows the graph as it was at a time: what came into a table after it was
//     read is no source of what was read.
//
// The package is pure: events and times come in as arguments, and store keeps the file.
package lineage

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// Kind is what a node stands for. The zero value is none.
type Kind uint8

// The kinds of node.
const (
	None     Kind = iota
	Relation      // table or view of a connection
	Column        // of a relation
	File          // on a database server
	Dataset       // elsewhere, by its URI
	Model         // or another artifact with a kind and a version: "model:churn@v3"
	Run           // of a job
	Person        //
	Job           // a job as a caller, by its workload's name
	Agent         //
)

var kindNames = []string{"none", "table", "column", "file", "dataset", "model", "run", "person", "job", "agent"}

func (k Kind) String() string { return kindNames[k] }

// How is the way that data takes along an edge. The zero value is that nobody knows.
type How uint8

// The kinds of edge. Those up to Steers are audit.Flow's.
const (
	Unknown How = iota // could not be traced: any of it may have moved
	Direct             // the value itself
	Derived            // through an expression
	Counted            // no more than whether it is there
	Steers             // it only decided which rows
	Sent               // the caller brought the values: VALUES, COPY FROM STDIN
	Renamed            // the table has another name now
	Used               // a run was given it
	Made               // a run made it
	Part               // a run was part of another
)

var howNames = []string{"unknown", "direct", "derived", "counted", "steers", "sent", "renamed", "used", "made", "part"}

func (h How) String() string { return howNames[h] }

func howNamed(name string) How {
	for i, n := range howNames {
		if n == name {
			return How(i)
		}
	}
	return Unknown
}

// Roles are what a column that steers does, a bit for each of audit.FlowRoles.
type Roles uint8

func rolesNamed(names []string) (r Roles) {
	for i, name := range audit.FlowRoles {
		if slices.Contains(names, name) {
			r |= 1 << i
		}
	}
	return r
}

// Node is a node of the graph. Its fields are exported for the snapshot; nothing in it is
// changed from outside.
type Node struct {
	Kind       Kind
	Connection string // of a relation, column or file
	Name       string // schema.table, path, URI, model:name@version, id of a run, name of a person
	Column     string // of a column
	Parent     int32  // relation, or data set, of a column, else -1
	Label      string // of a column: type of personal data, "" if none is known
	Hash, Path string // of a data set or model: what was hashed last
	Info       *Info  // of a run
	Claimed    bool   // nothing but somebody's word says that it exists
}

// Title is the node's name for people, and for questions.
func (n *Node) Title() string {
	switch n.Kind {
	case Relation, File:
		return n.Connection + ":" + n.Name
	case Column:
		if n.Connection == "" { // of a data set elsewhere
			return n.Name + "#" + n.Column
		}
		return n.Connection + ":" + n.Name + "." + n.Column
	case Run:
		return "run:" + n.Name
	}
	return n.Name
}

// Info is what is known of a run. All but the caller, the times and the status is their
// word.
type Info struct {
	Who, Subject, CallerKind, Owner string

	Job, Parent, Command string
	Inputs, Outputs      []string // audit.Artifact as text
	Facts                []string // "name=value"
	Began, Ended         int64    // microseconds since 1970; Ended is 0 while it runs
	Status               string   // "", "ok", "error", Lost
	Error                string
	BeganSeq, EndedSeq   int64 // entries of the record, -1 if there is none
	Claimed              bool  // it ran elsewhere
	WasLost              bool  // once, at least: that it began, and was lost, has been told

	Ways   map[int32]Roles // of edges into it, and of Moves: as what columns steer; likewise
	Moves  map[int32]bool  // edges between data sets that its statements made; only while it runs, or may be back
	Reads  map[int32]bool  // relations read, likewise
	Writes map[int32]bool  // and written
}

// Fact is the value of a fact, "" if there is none.
func (i *Info) Fact(name string) string {
	for _, f := range i.Facts {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			return v
		}
	}
	return ""
}

// Act is by whom, as what and under which decision something moved. Edges share acts.
type Act struct {
	Who, Subject, CallerKind, Owner string

	Verb      string // "insert", "CREATE TABLE AS", "copy_from", "run"
	Job       string // of the run that it was part of
	Rule      string
	Reason    string   // if it was approved ahead of time: as what
	Approvers []string // who said yes
	Claimed   bool
}

func (a *Act) key() string {
	return strings.Join([]string{a.Who, a.Subject, a.CallerKind, a.Owner, a.Verb, a.Job, a.Rule, a.Reason, strings.Join(a.Approvers, "\x01"), strconv.FormatBool(a.Claimed)}, "\x00")
}

// actName is what there is one act of.
type actName struct {
	who, subject, callerKind, owner, verb, job, rule, reason, approvers string
	claimed                                                             bool
}

func (a *Act) name() actName {
	return actName{a.Who, a.Subject, a.CallerKind, a.Owner, a.Verb, a.Job, a.Rule, a.Reason, strings.Join(a.Approvers, "\x01"), a.Claimed}
}

// Evidence are the entries of the record that show that something moved; -1 for none.
type Evidence struct {
	Decided, Answered, Finished, Commit int64
	Began                               int64 // of the run that it was part of
}

// Edge is data that moved from one node into another in the same way, under the same act,
// once or often. A table that is emptied, dropped or renamed ends the edges into it; what
// comes after is another edge.
type Edge struct {
	From, Into  int32
	By          int32 // act
	How         How
	Masked      bool // something else was given in its place
	Count       uint32
	First, Last int64 // microseconds since 1970, of the record's clock and strictly growing
	Ended       int64 // 0 while the data is there
	A, B        Evidence
}

type edgeKey struct {
	from, into, by int32
	how            How
	masked         bool
}

// Limits of the graph: what is beyond them is left out, and Full says so.
const (
	maxNodes    = 4 << 20
	maxEdges    = 8 << 20
	maxMoves    = 4096    // edges that one run remembers until it ends
	maxQueue    = 10_000  // statements of one transaction that wait for COMMIT
	maxFlowRefs = 4096    // sources of one statement
	maxPending  = 1 << 20 // statements under way; more than all sessions can have
)

// Graph is the lineage of a record up to an entry. It is not safe for concurrent use.
type Graph struct {
	state

	keys map[nodeName]int32
	acts map[actName]int32
	open map[edgeKey]int32
	out  [][]int32          // edges by From
	in   [][]int32          // edges by Into
	kids map[int32][]int32  // columns of a relation
	last map[string][]int32 // relations and columns by the last part of their name

	flows map[string]audit.Flow // as read from their texts, which come again and again

	// Done is told of each run that ended and each statement outside of runs that moved
	// data between tables. It must not keep its argument.
	Done func(Happening)
}

// state is what a snapshot has.
type state struct {
	Tick      int64 // of the last event: strictly growing, so that "before" is never in doubt
	Prefix    string
	Nodes     []Node
	Edges     []Edge
	Acts      []Act
	Databases map[string]string // connection: host:port/name
	Sessions  map[string]*session
	Pending   map[uint64]*statement
	Events    uint64 // folded
	Full      bool
}

// Happening is something that the graph was told of and that is whole.
type Happening struct {
	Graph *Graph
	Seq   uint64          // entry that ended it
	Run   int32           // node of the run, -1 if it is a statement by itself
	Edges []int32         // between data sets, that it made
	Ways  map[int32]Roles // of edges, also of those into the run: as what columns steer
	Reads []int32         // relations
	Write []int32
	Act   Act
	SQL   string
	Conn  string
	Began int64
	Ended int64
	Again bool // of a run that was lost before: that it began has been told
}

// New makes an empty graph.
func New() *Graph {
	g := &Graph{state: state{Databases: map[string]string{}, Sessions: map[string]*session{}, Pending: map[uint64]*statement{}}}
	g.reindex()
	return g
}

// reindex makes everything that follows from the state.
func (g *Graph) reindex() {
	g.keys, g.acts, g.open = map[nodeName]int32{}, map[actName]int32{}, map[edgeKey]int32{}
	g.flows = map[string]audit.Flow{}
	g.kids, g.last = map[int32][]int32{}, map[string][]int32{}
	g.out, g.in = make([][]int32, len(g.Nodes)), make([][]int32, len(g.Nodes))
	for i := range g.Nodes {
		g.indexNode(int32(i))
	}
	for i := range g.Acts {
		g.acts[g.Acts[i].name()] = int32(i)
	}
	for i := range g.Edges {
		g.indexEdge(int32(i))
	}
}

// nodeName is what there is one node of.
type nodeName struct {
	kind                     Kind
	connection, name, column string
}

func nodeKey(k Kind, connection, name, column string) nodeName {
	return nodeName{k, connection, name, column}
}

func (g *Graph) indexNode(i int32) {
	n := &g.Nodes[i]
	g.keys[nodeKey(n.Kind, n.Connection, n.Name, n.Column)] = i
	switch n.Kind {
	case Column:
		g.kids[n.Parent] = append(g.kids[n.Parent], i)
		g.last[n.Column] = append(g.last[n.Column], i)
	case Relation:
		word := n.Name[strings.LastIndexByte(n.Name, '.')+1:]
		g.last[word] = append(g.last[word], i)
	}
}

func (g *Graph) indexEdge(i int32) {
	e := &g.Edges[i]
	g.out[e.From] = append(g.out[e.From], i)
	g.in[e.Into] = append(g.in[e.Into], i)
	if e.Ended == 0 {
		g.open[edgeKey{e.From, e.Into, e.By, e.How, e.Masked}] = i
	}
}

// node gives the node of a name, and makes it if it is new; -1 if there is no room.
func (g *Graph) node(k Kind, connection, name, column string) int32 {
	if i, ok := g.keys[nodeKey(k, connection, name, column)]; ok {
		return i
	}
	if len(g.Nodes) >= maxNodes {
		g.Full = true
		return -1
	}
	parent := int32(-1)
	if k == Column {
		whole := Relation
		if connection == "" {
			whole = Dataset
		}
		if parent = g.node(whole, connection, name, ""); parent < 0 {
			return -1
		}
	}
	i := int32(len(g.Nodes))
	// Texts of an event share the memory of its line, which is not to be kept.
	g.Nodes = append(g.Nodes, Node{Kind: k, Connection: strings.Clone(connection), Name: strings.Clone(name), Column: strings.Clone(column), Parent: parent})
	g.out, g.in = append(g.out, nil), append(g.in, nil)
	g.indexNode(i)
	return i
}

func (g *Graph) act(a Act) int32 {
	if i, ok := g.acts[a.name()]; ok {
		return i
	}
	i := int32(len(g.Acts))
	for _, s := range []*string{&a.Who, &a.Subject, &a.CallerKind, &a.Owner, &a.Verb, &a.Job, &a.Rule, &a.Reason} {
		*s = strings.Clone(*s)
	}
	a.Approvers = cloned(a.Approvers)
	g.Acts = append(g.Acts, a)
	g.acts[a.name()] = i
	return i
}

// cloned are texts with memory of their own.
func cloned(list []string) (out []string) {
	for _, s := range list {
		out = append(out, strings.Clone(s))
	}
	return out
}

// edge notes that data moved. It gives the edge, or -1 if there is none.
func (g *Graph) edge(from, into int32, how How, masked bool, by int32, at int64, times uint32, ev Evidence) int32 {
	if from < 0 || into < 0 || from == into {
		return -1
	}
	key := edgeKey{from, into, by, how, masked}
	i, ok := g.open[key]
	if !ok {
		if len(g.Edges) >= maxEdges {
			g.Full = true
			return -1
		}
		i = int32(len(g.Edges))
		g.Edges = append(g.Edges, Edge{From: from, Into: into, How: how, Masked: masked, By: by, First: at, A: ev})
		g.indexEdge(i)
	}
	e := &g.Edges[i]
	e.Count += times
	e.Last, e.B = at, ev
	return i
}

// end ends what is in a relation, or what made an artifact.
func (g *Graph) end(node int32, at int64) {
	for _, n := range append([]int32{node}, g.kids[node]...) {
		for _, i := range g.in[n] {
			if e := &g.Edges[i]; e.Ended == 0 {
				e.Ended = at
				delete(g.open, edgeKey{e.From, e.Into, e.By, e.How, e.Masked})
			}
		}
	}
}

// Connection is the database behind a connection, host:port/name, "" if none is known.
func (g *Graph) Connection(name string) string { return g.Databases[name] }

// Node is a node by its number.
func (g *Graph) Node(i int32) *Node { return &g.Nodes[i] }

// EdgeID names an edge the same in each graph that has it.
func (g *Graph) EdgeID(i int32) string {
	e := &g.Edges[i]
	from, into := &g.Nodes[e.From], &g.Nodes[e.Into]
	var b []byte
	for _, s := range [...]string{from.Kind.String(), from.Title(), into.Kind.String(), into.Title(), e.How.String(), g.Acts[e.By].key()} {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(append(b, ':'), s...)
	}
	sum := sha256.Sum256(strconv.AppendBool(b, e.Masked))
	return "e-" + hex.EncodeToString(sum[:8])
}
