package lineage

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// statement is one that was decided and has not ended, or waits for its transaction.
type statement struct {
	Seq        uint64
	Session    string
	Connection string
	Kind       string // "insert", as events have it
	Command    string
	Reads      []string
	Writes     []string
	Flows      []audit.Flow
	Traced     bool // Flows are all there
	SQL        string
	Shape      string // fingerprint
	Times      uint32 // how often it ran in a row
	NoWhere    bool
	ServerFile bool
	Run        string
	Act        Act
	Began      int64 // microseconds, as the event says
	Answered   int64
	Finished   int64
}

// session is what the graph must know of an open session: its transaction.
type session struct {
	Block  bool
	Failed bool
	Queue  []*statement // writes that wait for COMMIT
	Marks  []mark
}

// mark is a savepoint.
type mark struct {
	Name  string
	Queue int
}

// Take folds one event. Events come in the order of the record.
func (g *Graph) Take(ev *audit.Event) {
	g.Events++
	at := max(ev.Time.UnixMicro(), g.Tick+1)
	g.Tick = at
	if g.Prefix == "" {
		g.Prefix = strings.TrimSuffix(ev.ID, strconv.FormatUint(ev.Seq, 10))
	}
	switch ev.Kind {
	case audit.Connected:
		if ev.Outcome == "ok" && ev.Database != "" {
			g.Databases[strings.Clone(ev.Connection)] = strings.Clone(ev.Database)
		}
	case audit.Decided:
		g.decided(ev)
	case audit.Answered:
		if p := g.pending(ev.Of); p != nil && ev.Effect == "allow" {
			p.Act.Approvers, p.Answered = ev.Approvers, int64(ev.Seq)
		}
	case audit.Finished:
		g.finished(ev, at)
	case audit.Closed:
		delete(g.Sessions, ev.Session)
	case audit.Started: // what was under way is lost with the gateway that ended
		clear(g.Sessions)
		clear(g.Pending)
	case audit.RunBegan:
		g.runBegan(ev, at)
	case audit.RunEnded:
		g.runEnded(ev, at)
	case audit.Claimed:
		g.claimed(ev, at)
	case audit.LoggedIn, audit.Asked, audit.Voted, audit.Questioned, audit.Admin, audit.Stopped:
	}
}

// seqOf is the entry that an ID names.
func seqOf(id string) (uint64, bool) {
	seq, err := strconv.ParseUint(id[strings.LastIndexByte(id, '-')+1:], 10, 63)
	return seq, err == nil
}

func (g *Graph) pending(id string) *statement {
	seq, ok := seqOf(id)
	if !ok {
		return nil
	}
	return g.Pending[seq]
}

// ahead is how the reason reads of what runs because people approved it before: "as
// req-1, …", "in the window req-2, …".
var ahead = regexp.MustCompile(`^(as|in the window) [a-z0-9-]+, `)

// maxSQL is what is kept of the text of a statement until it ends.
const maxSQL = 4 << 10

func (g *Graph) decided(ev *audit.Event) {
	if len(g.Pending) >= maxPending {
		g.Full = true
		clear(g.Pending)
	}
	p := &statement{
		Seq: ev.Seq, Session: ev.Session, Connection: ev.Connection, Kind: ev.Statement, Command: ev.Command, Run: ev.Run,
		Reads: ev.Reads, Writes: ev.Writes, Traced: true, Shape: ev.Fingerprint, Times: 1, Answered: -1, Finished: -1, Began: ev.Time.UnixMicro(),
		NoWhere: slices.Contains(ev.Signs, "no_where"), ServerFile: slices.Contains(ev.Signs, "server_file") || slices.Contains(ev.Signs, "program"),
		Act: Act{Who: ev.Who, Subject: ev.Subject, CallerKind: ev.CallerKind, Owner: ev.Owner, Verb: verb(ev), Rule: ev.Rule},
	}
	if ev.Effect == "allow" && ev.Reason != "" && ahead.MatchString(ev.Reason) {
		p.Act.Reason = ev.Reason
	}
	for _, name := range []string{"flows", "reads", "writes"} {
		p.Traced = p.Traced && !slices.Contains(ev.Cut, name)
	}
	n := 0
	for _, text := range ev.Flows {
		f, ok := g.flow(text)
		if n += len(f.From); !ok || n > maxFlowRefs {
			p.Traced = false
			break
		}
		p.Flows = append(p.Flows, f)
	}
	// An entry of a version that wrote no flows has none though it read and wrote.
	p.Traced = p.Traced && (len(ev.Flows) > 0 || len(ev.Reads) == 0 || len(ev.Writes) == 0)
	if p.ServerFile || p.Kind == "transaction" || strings.HasSuffix(p.Command, "RENAME") || len(ev.Writes) > 0 {
		p.SQL = ev.SQL[:min(len(ev.SQL), maxSQL)]
	}
	g.Pending[ev.Seq] = p
	for _, l := range ev.Personal {
		if i := strings.LastIndexByte(l, ':'); i > 0 {
			if n := g.ref(p, l[:i]); n >= 0 && g.Nodes[n].Kind == Column && g.Nodes[n].Label != l[i+1:] {
				g.Nodes[n].Label = strings.Clone(l[i+1:])
			}
		}
	}
}

// maxFlows bounds how many texts of flows are remembered; then it begins anew.
const maxFlows = 1 << 12

// flow reads a text of a flow.
func (g *Graph) flow(text string) (audit.Flow, bool) {
	if f, ok := g.flows[text]; ok {
		return f, true
	}
	text = strings.Clone(text)
	f, err := audit.ParseFlow(text)
	if err != nil {
		return f, false
	}
	if len(g.flows) >= maxFlows {
		clear(g.flows)
	}
	g.flows[text] = f
	return f, true
}

func verb(ev *audit.Event) string {
	if ev.Command != "" && ev.Statement != "transaction" {
		return ev.Command
	}
	return ev.Statement
}

// finished folds how a statement ended.
func (g *Graph) finished(ev *audit.Event, at int64) {
	seq, _ := seqOf(ev.Of)
	p := g.Pending[seq]
	if p == nil {
		return
	}
	delete(g.Pending, seq)
	p.Finished = int64(ev.Seq)
	s := g.Sessions[p.Session]
	if s == nil {
		s = &session{}
		if p.Kind == "transaction" { // others have nothing to remember
			g.Sessions[p.Session] = s
		}
	}
	ok := ev.Outcome == "ok"
	if !ok && ev.Outcome != "skipped" {
		s.Failed = s.Block
	}
	if p.Kind == "transaction" {
		if ok {
			g.transaction(s, p, at)
		}
		return
	}
	if ok || ev.Rows > 0 { // what was seen was seen, however it ended
		g.reads(p, at)
	}
	switch {
	case !ok || len(p.Writes) == 0:
	case s.Block && s.again(p):
	case s.Block && len(s.Queue) < maxQueue:
		s.Queue = append(s.Queue, p)
	default:
		g.writes(p, at, -1)
	}
}

// again notes that the statement that waits last ran once more: loops of inserts are many.
func (s *session) again(p *statement) bool {
	n := len(s.Queue)
	if n == 0 || p.Shape == "" || len(s.Marks) > 0 && s.Marks[len(s.Marks)-1].Queue == n {
		return false
	}
	last := s.Queue[n-1]
	if last.Shape != p.Shape || last.Answered >= 0 || p.Answered >= 0 || last.Kind != p.Kind || last.Run != p.Run ||
		!slices.Equal(last.Reads, p.Reads) || !slices.Equal(last.Writes, p.Writes) {
		return false
	}
	last.Times++
	last.Finished = p.Finished
	last.Seq = p.Seq
	return true
}

// transaction follows BEGIN, COMMIT and their like that went well.
func (g *Graph) transaction(s *session, p *statement, at int64) {
	switch p.Command {
	case "BEGIN", "START":
		if !s.Block {
			*s = session{Block: true}
		}
	case "COMMIT", "PREPARE": // a transaction that is prepared can only be guessed at: it counts
		if s.Block && !s.Failed { // after an error, COMMIT undoes
			for _, w := range s.Queue {
				g.writes(w, at, p.Finished)
			}
		}
		*s = session{Block: chains(p.SQL)}
	case "ROLLBACK":
		*s = session{Block: chains(p.SQL)}
	case "SAVEPOINT":
		if s.Block && len(s.Marks) < maxQueue {
			s.Marks = append(s.Marks, mark{lastWord(p.SQL), len(s.Queue)})
		}
	case "ROLLBACK_TO":
		name := lastWord(p.SQL)
		for i, m := range slices.Backward(s.Marks) {
			if m.Name == name {
				s.Queue, s.Marks = s.Queue[:min(m.Queue, len(s.Queue))], s.Marks[:i+1]
				break
			}
		}
		s.Failed = false
	}
	if !s.Block {
		delete(g.Sessions, p.Session)
	}
}

// chains reports whether another transaction begins where one ends.
func chains(sql string) bool {
	words := strings.Fields(strings.ToLower(strings.TrimRight(sql, "; \t\n")))
	n := len(words)
	return n > 1 && words[n-1] == "chain" && words[n-2] == "and"
}

// lastWord is the name of a savepoint as it is written last.
func lastWord(sql string) string {
	words := strings.Fields(strings.TrimRight(sql, "; \t\n"))
	if len(words) == 0 {
		return ""
	}
	if w := words[len(words)-1]; !strings.HasPrefix(w, `"`) {
		return strings.ToLower(w)
	}
	return words[len(words)-1]
}

// ref is the node of what Reads, Writes and Flows have. A temporary table is that of its
// session.
func (g *Graph) ref(p *statement, ref string) int32 {
	relation, column := ref, ""
	if strings.Count(ref, ".") >= 2 {
		i := strings.LastIndexByte(ref, '.')
		relation, column = ref[:i], ref[i+1:]
	}
	if schema, _, ok := strings.Cut(relation, "."); ok && (schema == "pg_temp" || strings.HasPrefix(schema, "pg_temp_")) {
		relation += " of " + p.Session
	}
	if !strings.Contains(relation, ".") {
		relation = g.schemaOf(p.Connection, relation) + "." + relation
	}
	if column == "" || column == "*" {
		return g.node(Relation, p.Connection, relation, "")
	}
	return g.node(Column, p.Connection, relation, column)
}

// schemaOf guesses the schema of a relation that was written without one when no catalogue
// had it, since it had just been made elsewhere: that of the one relation of this name, else
// public, where new tables go unless somebody says otherwise.
func (g *Graph) schemaOf(connection, name string) string {
	schema := ""
	for _, n := range g.last[name] {
		node := &g.Nodes[n]
		s, _, _ := strings.Cut(node.Name, ".")
		if node.Kind != Relation || node.Connection != connection || strings.HasPrefix(s, "pg_temp") {
			continue
		}
		if schema != "" && schema != s {
			return "public"
		}
		schema = s
	}
	if schema == "" {
		return "public"
	}
	return schema
}

// caller is who sends a statement: a run, if it is one that the same caller began, else
// the person, job or agent.
func (g *Graph) caller(p *statement) int32 {
	if i := g.runOf(p.Run, p.Act.Subject, p.Act.Owner); i >= 0 {
		return i
	}
	kind := Person
	switch p.Act.CallerKind {
	case "job":
		kind = Job
	case "agent":
		kind = Agent
	}
	return g.node(kind, "", p.Act.Who, "")
}

// runOf is the run of an ID that a caller began, -1 if there is none: an ID that somebody
// else took says nothing.
func (g *Graph) runOf(id, subject, owner string) int32 {
	if id == "" {
		return -1
	}
	i, ok := g.keys[nodeKey(Run, "", id, "")]
	if !ok || g.Nodes[i].Info == nil || g.Nodes[i].Info.Claimed {
		return -1
	}
	if in := g.Nodes[i].Info; in.Subject != subject || in.Owner != owner {
		return -1
	}
	return i
}

// evidence is what shows that a statement moved something, as part of a run or of none.
func (p *statement) evidence(run *Info, commit int64) Evidence {
	ev := Evidence{Decided: int64(p.Seq), Answered: p.Answered, Finished: p.Finished, Commit: commit, Began: -1}
	if run != nil {
		ev.Began = run.BeganSeq
	}
	return ev
}

// reads folds what came back to the caller, or went into a file on the server.
func (g *Graph) reads(p *statement, at int64) {
	if len(p.Reads) == 0 || p.Kind == "prepare" || p.Kind == "declare" || p.Kind == "explain" {
		return
	}
	sink := g.caller(p)
	run := g.info(sink)
	if run != nil {
		p.Act.Job = run.Job
	}
	if p.Kind == "copy_to" && p.ServerFile {
		sink = g.node(File, p.Connection, fileName(p.SQL), "")
	}
	by, ev := g.act(p.Act), p.evidence(run, -1)
	vague := !p.Traced
	listed := make(map[string]bool, len(p.Flows))
	for _, f := range p.Flows {
		for _, from := range f.From {
			listed[from] = true
			if f.Into == "" {
				i := g.edge(g.ref(p, from), sink, howNamed(f.How), f.Masked, by, at, p.Times, ev)
				run.steered(i, rolesNamed(f.Roles))
			}
		}
		vague = vague || f.Into == "" && f.How == audit.FlowUnknown && len(f.From) == 0
	}
	for _, ref := range p.Reads {
		n := g.ref(p, ref)
		if run != nil && n >= 0 && len(run.Reads) < maxMoves {
			run.Reads[g.relation(n)] = true
		}
		if listed[ref] || len(p.Writes) > 0 && !vague {
			continue
		}
		how := Direct
		switch {
		case vague:
			how = Unknown
		case n >= 0 && g.Nodes[n].Kind == Relation:
			how = Steers
		}
		g.edge(n, sink, how, false, by, at, p.Times, ev)
	}
}

func (g *Graph) relation(n int32) int32 {
	if g.Nodes[n].Parent >= 0 {
		return g.Nodes[n].Parent
	}
	return n
}

// info is of a run that is under way, or was lost and may be back, else nil.
func (g *Graph) info(n int32) *Info {
	if n < 0 || g.Nodes[n].Info == nil || g.Nodes[n].Info.Ended > 0 && g.Nodes[n].Info.Status != Lost {
		return nil
	}
	return g.Nodes[n].Info
}

// writes folds what a statement put where, once it counts.
func (g *Graph) writes(p *statement, at, commit int64) {
	caller := g.caller(p)
	run := g.info(caller)
	if run != nil {
		p.Act.Job = run.Job
	}
	ends(g, p, run, at)
	by, ev := g.act(p.Act), p.evidence(run, commit)
	made, ways, valued := g.moved(p, by, at, ev)
	if !valued && fills(p.Kind) && len(p.Writes) > 0 {
		into := g.ref(p, p.Writes[0])
		if p.Kind == "copy_from" && p.ServerFile {
			g.edge(g.node(File, p.Connection, fileName(p.SQL), ""), into, Direct, false, by, at, p.Times, ev)
		} else {
			g.edge(caller, into, Sent, false, by, at, p.Times, ev)
		}
	}
	g.tell(p, run, made, ways, at)
}

// moved makes the edges of what a statement moved between relations; valued says whether
// any value of another column was among it. What is not traced is all that was read: of a
// statement that reads and writes too much for that, relation by relation.
func (g *Graph) moved(p *statement, by int32, at int64, ev Evidence) (made []int32, ways map[int32]Roles, valued bool) {
	taken := map[int32]bool{}
	ways = map[int32]Roles{}
	add := func(from, into int32, how How, roles Roles) {
		if len(made) == maxFlowRefs {
			g.Full = true
			return
		}
		i := g.edge(from, into, how, false, by, at, p.Times, ev)
		if i >= 0 && roles != 0 {
			ways[i] |= roles
		}
		if i >= 0 && !taken[i] {
			taken[i] = true
			made = append(made, i)
		}
	}
	var vague []string // written with what is not traced
	for _, f := range p.Flows {
		if f.Into == "" {
			continue
		}
		if len(f.From) == 0 {
			vague = append(vague, f.Into)
		}
		for _, ref := range f.From {
			add(g.ref(p, ref), g.ref(p, f.Into), howNamed(f.How), rolesNamed(f.Roles))
		}
		valued = valued || f.How != audit.FlowSteers
	}
	if !p.Traced && (fills(p.Kind) || p.Kind == "ddl") {
		vague = append(vague, p.Writes...)
		valued = valued || len(p.Reads) > 0
	}
	wide := len(vague)*len(p.Reads) > maxFlowRefs/4
	done := map[[2]int32]bool{}
	for _, name := range vague {
		for _, ref := range p.Reads {
			from, into := g.ref(p, ref), g.ref(p, name)
			if wide && from >= 0 && into >= 0 {
				from, into = g.relation(from), g.relation(into)
			}
			if pair := [2]int32{from, into}; !done[pair] {
				done[pair] = true
				add(from, into, Unknown, 0)
			}
		}
	}
	return made, ways, valued
}

// steered notes as what a column steers what is part of a run; nil is none.
func (i *Info) steered(edge int32, roles Roles) {
	if _, known := i.ways()[edge]; i != nil && edge >= 0 && roles != 0 && (known || len(i.Ways) < maxMoves) {
		i.Ways[edge] |= roles
	}
}

func (i *Info) ways() map[int32]Roles {
	if i == nil {
		return nil
	}
	return i.Ways
}

// fills reports whether statements of a kind put rows or values into tables.
func fills(kind string) bool {
	switch kind {
	case "insert", "update", "merge", "copy_from", "do", "call", "execute", "unknown", "select":
		return true
	}
	return false
}

// tell notes what a statement moved with its run, or tells of it at once.
func (g *Graph) tell(p *statement, run *Info, made []int32, ways map[int32]Roles, at int64) {
	var writes []int32
	for _, ref := range p.Writes {
		if n := g.ref(p, ref); n >= 0 && !slices.Contains(writes, n) {
			writes = append(writes, n)
		}
	}
	if run != nil {
		for _, n := range writes {
			if len(run.Writes) < maxMoves {
				run.Writes[n] = true
			}
		}
		for _, i := range made {
			if len(run.Moves) < maxMoves {
				run.Moves[i] = true
			}
			run.steered(i, ways[i])
		}
		return
	}
	if g.Done == nil || len(made) == 0 {
		return
	}
	var reads []int32
	for _, ref := range p.Reads {
		if n := g.ref(p, ref); n >= 0 && !slices.Contains(reads, g.relation(n)) {
			reads = append(reads, g.relation(n))
		}
	}
	g.Done(Happening{Graph: g, Seq: uint64(p.Finished), Run: -1, Edges: made, Ways: ways, Reads: reads, Write: writes, Act: p.Act, SQL: p.SQL, Conn: p.Connection, Began: p.Began, Ended: at})
}

// ends folds statements that empty, remove or rename what they write.
func ends(g *Graph, p *statement, run *Info, at int64) {
	by, ev := g.act(p.Act), p.evidence(run, -1)
	switch {
	case strings.HasPrefix(p.Command, "DROP "), p.Command == "TRUNCATE":
		for _, ref := range p.Writes {
			g.end(g.ref(p, ref), at)
		}
	case p.Kind == "delete" && p.NoWhere && len(p.Writes) == 1:
		g.end(g.ref(p, p.Writes[0]), at)
	case len(p.Writes) == 2 && !strings.HasPrefix(p.Command, "ALTER COLUMN") && (strings.HasSuffix(p.Command, " RENAME") || strings.HasSuffix(p.Command, " SET SCHEMA")):
		old, now := g.ref(p, p.Writes[0]), g.ref(p, p.Writes[1])
		g.edge(old, now, Renamed, false, by, at, p.Times, ev)
	case p.Command == "ALTER COLUMN RENAME" && len(p.Writes) > 0:
		if from, to, ok := renamedColumn(p.SQL); ok {
			table := p.Writes[0]
			g.edge(g.ref(p, table+"."+from), g.ref(p, table+"."+to), Renamed, false, by, at, p.Times, ev)
		}
	}
}
