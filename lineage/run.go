package lineage

import (
	"slices"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// artifact is the node of something that a run reads or makes. OpenLineage names it by
// namespace and name, of which this graph makes one, so that the same thing is one node
// whoever speaks of it.
func (g *Graph) artifact(a audit.Artifact, claimed bool) int32 {
	kind, connection, name, column := named(a.Name)
	n := g.node(kind, connection, name, column)
	if n < 0 {
		return -1
	}
	node := &g.Nodes[n]
	if a.Hash != "" {
		node.Hash, node.Path = a.Hash, a.Path
	}
	if len(g.in[n])+len(g.out[n]) == 0 {
		node.Claimed = claimed
	}
	node.Claimed = node.Claimed && claimed
	return n
}

// SluiceNamespace is that of relations of this gateway's own connections, in the names of
// claimed data sets: "sluice:orders public.customers".
const SluiceNamespace = "sluice:"

// named reads the name of an artifact: "model:churn@v3", a URI, or namespace and name of
// OpenLineage, a column's behind "#" there.
func named(s string) (kind Kind, connection, name, column string) {
	namespace, name, two := strings.Cut(s, " ")
	if !two {
		if strings.HasPrefix(s, "model:") {
			return Model, "", s, ""
		}
		return Dataset, "", s, ""
	}
	if connection, ours := strings.CutPrefix(namespace, SluiceNamespace); ours {
		if i := strings.LastIndexByte(name, '#'); i >= 0 {
			return Column, connection, name[:i], name[i+1:]
		}
		return Relation, connection, name, ""
	}
	if i := strings.LastIndexByte(name, '#'); i >= 0 {
		return Column, "", joined(namespace, name[:i]), name[i+1:]
	}
	return Dataset, "", joined(namespace, name), ""
}

// joined is a namespace and a name as one URI.
func joined(namespace, name string) string {
	if namespace == "" || namespace == "file" {
		return name
	}
	if namespace == "model" {
		return "model:" + name
	}
	return strings.TrimRight(namespace, "/") + "/" + strings.TrimLeft(name, "/")
}

func (g *Graph) runBegan(ev *audit.Event, at int64) {
	if n := g.runs(ev.Run); n >= 0 { // a run begins once, and may be back
		in := g.Nodes[n].Info
		if ev.Outcome == Back && in.Status == Lost && in.Subject == ev.Subject && in.Owner == ev.Owner && !in.Claimed {
			in.Ended, in.Status, in.Error, in.EndedSeq = 0, "", "", -1
		}
		return
	}
	if ev.Run == "" || ev.Outcome == Back {
		return
	}
	n := g.node(Run, "", ev.Run, "")
	if n < 0 {
		return
	}
	g.Nodes[n].Info = &Info{ // of a line that is nearly all kept
		Who: ev.Who, Subject: ev.Subject, CallerKind: ev.CallerKind, Owner: ev.Owner, Job: ev.Job, Parent: ev.Parent, Command: ev.Command,
		Inputs: ev.Inputs, Facts: ev.Facts, Began: ev.Time.UnixMicro(), BeganSeq: int64(ev.Seq), EndedSeq: -1,
		Moves: map[int32]bool{}, Reads: map[int32]bool{}, Writes: map[int32]bool{}, Ways: map[int32]Roles{},
	}
	by, e := g.act(g.runAct(n)), Evidence{Decided: int64(ev.Seq), Answered: -1, Finished: -1, Commit: -1, Began: -1}
	for _, text := range ev.Inputs {
		g.edge(g.artifact(audit.ParseArtifact(text), true), n, Used, false, by, at, 1, e)
	}
}

func (g *Graph) runAct(n int32) Act {
	in := g.Nodes[n].Info
	return Act{Who: in.Who, Subject: in.Subject, CallerKind: in.CallerKind, Owner: in.Owner, Verb: "run", Job: in.Job, Claimed: in.Claimed}
}

// runs is the node of a run of which is known when it began, -1 if there is none.
func (g *Graph) runs(id string) int32 {
	if i, ok := g.keys[nodeKey(Run, "", id, "")]; ok && g.Nodes[i].Info != nil {
		return i
	}
	return -1
}

func (g *Graph) runEnded(ev *audit.Event, at int64) {
	n := g.runOf(ev.Run, ev.Subject, ev.Owner)
	in := g.info(n)
	if in == nil {
		return
	}
	in.Ended, in.Status, in.Error, in.EndedSeq = ev.Time.UnixMicro(), ev.Outcome, ev.Error, int64(ev.Seq)
	in.Outputs = ev.Outputs
	in.Facts = append(slices.Clip(in.Facts), ev.Facts...)
	in.Inputs = append(slices.Clip(in.Inputs), ev.Inputs...)
	by, e := g.act(g.runAct(n)), Evidence{Decided: in.BeganSeq, Answered: -1, Finished: int64(ev.Seq), Commit: -1, Began: -1}
	for _, text := range ev.Inputs {
		g.edge(g.artifact(audit.ParseArtifact(text), true), n, Used, false, by, at, 1, e)
	}
	for _, text := range ev.Outputs {
		out := g.artifact(audit.ParseArtifact(text), false)
		if out < 0 {
			continue
		}
		g.end(out, at) // the same name was made before: that is gone
		g.edge(n, out, Made, false, by, at, 1, e)
	}
	if parent := g.runOf(in.Parent, in.Subject, in.Owner); parent >= 0 && !g.below(n, parent) {
		g.edge(n, parent, Part, false, by, at, 1, e)
	}
	if g.Done != nil {
		h := Happening{Graph: g, Seq: ev.Seq, Run: n, Act: g.runAct(n), Began: in.Began, Ended: in.Ended, Again: in.WasLost}
		h.Edges, h.Reads, h.Write, h.Ways = sorted(in.Moves), sorted(in.Reads), sorted(in.Writes), in.Ways
		g.Done(h)
	}
	in.WasLost = in.WasLost || in.Status == Lost
	if in.Status != Lost { // it may be back, and then tells of all of it
		in.Moves, in.Reads, in.Writes, in.Ways = nil, nil, nil, nil
	}
}

// Outcomes of runs that nobody says anything of any more, and that were heard again.
const (
	Lost = "lost"
	Back = "back"
)

// below reports whether a run is an ancestor of another: parents that go in a circle are
// somebody's joke.
func (g *Graph) below(run, other int32) bool {
	for range 64 {
		if other == run {
			return true
		}
		if other < 0 || g.Nodes[other].Info == nil {
			return false
		}
		other = g.runs(g.Nodes[other].Info.Parent)
	}
	return true
}

func sorted(set map[int32]bool) (out []int32) {
	for n := range set {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// claimed folds what somebody says that a pipeline elsewhere moved.
func (g *Graph) claimed(ev *audit.Event, at int64) {
	act := Act{Who: ev.Who, Subject: ev.Subject, CallerKind: ev.CallerKind, Owner: ev.Owner, Verb: "claim", Job: ev.Job, Claimed: true}
	by, e := g.act(act), Evidence{Decided: int64(ev.Seq), Answered: -1, Finished: -1, Commit: -1, Began: -1}
	flowed, placed := map[int32]bool{}, map[int32]bool{}
	for _, text := range ev.Flows {
		f, err := audit.ParseFlow(text)
		if err != nil || f.Into == "" {
			continue
		}
		into := g.artifact(audit.Artifact{Name: f.Into}, true)
		for _, from := range f.From {
			src := g.artifact(audit.Artifact{Name: from}, true)
			if into < 0 || src < 0 {
				continue
			}
			g.edge(src, into, howNamed(f.How), f.Masked, by, at, 1, e)
			flowed[g.relation(into)], placed[g.relation(src)] = true, true
		}
	}
	run := g.node(Run, "", ev.Run, "")
	if ev.Run == "" || run < 0 {
		return
	}
	switch in := g.Nodes[run].Info; {
	case in == nil:
		g.Nodes[run].Claimed = true
		g.Nodes[run].Info = &Info{
			Who: ev.Who, Subject: ev.Subject, CallerKind: ev.CallerKind, Owner: ev.Owner, Job: ev.Job, Parent: ev.Parent, Claimed: true, BeganSeq: int64(ev.Seq), EndedSeq: -1,
			Facts: ev.Facts, Began: ev.Time.UnixMicro(), Ended: ev.Time.UnixMicro(), Status: ev.Outcome, Error: ev.Error, Inputs: ev.Inputs, Outputs: ev.Outputs,
		}
	case !in.Claimed:
		return // a run of this gateway says itself what it did
	default:
		in.Ended, in.Status, in.Error = ev.Time.UnixMicro(), ev.Outcome, ev.Error
	}
	for _, text := range ev.Inputs {
		g.edge(g.artifact(audit.ParseArtifact(text), true), run, Used, false, by, at, 1, e)
	}
	for _, text := range ev.Outputs {
		// Where columns are told, the run as a whole would make all of its inputs sources
		// of all of its outputs.
		if out := g.artifact(audit.ParseArtifact(text), true); out >= 0 && !flowed[g.relation(out)] {
			g.edge(run, out, Made, false, by, at, 1, e)
		}
	}
}

// Lost is a run of this gateway of which nothing was heard any more.
func (g *Graph) Lost(id string) (*Info, bool) {
	n := g.runs(id)
	if n < 0 || g.Nodes[n].Info.Claimed || g.Nodes[n].Info.Status != Lost {
		return nil, false
	}
	return g.Nodes[n].Info, true
}

// EachOpen gives the runs of this gateway that have not ended.
func (g *Graph) EachOpen(give func(id string, in *Info)) {
	for i := range g.Nodes {
		if n := &g.Nodes[i]; n.Kind == Run && n.Info != nil && !n.Info.Claimed && n.Info.Ended == 0 {
			give(n.Name, n.Info)
		}
	}
}

// Open is a run of this gateway that has not ended.
func (g *Graph) Open(id string) (*Info, bool) {
	n := g.runs(id)
	if n < 0 || g.Nodes[n].Info.Claimed || g.Nodes[n].Info.Ended > 0 {
		return nil, false
	}
	return g.Nodes[n].Info, true
}
