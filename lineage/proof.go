package lineage

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// ProofFormat names the format of a Proof.
const ProofFormat = "sluice-lineage-proof/1"

// Limits of a proof.
const (
	MaxProofEntries = 2_000
	MaxProofBytes   = 256 << 20
)

// Proof shows to whoever has the public key of a record that each way of an answer follows
// from entries of it: they are here, with proofs that they are in the record.
type Proof struct {
	Format string         `json:"format"`
	Answer *Answer        `json:"answer"`
	Proofs []*audit.Proof `json:"proofs"`
}

// Seqs are the entries that the ways of an answer rest on, in order.
func (a *Answer) Seqs() (seqs []uint64) {
	for _, e := range a.Edges {
		for _, id := range e.Entries {
			if s, ok := seqOf(id); ok {
				seqs = append(seqs, s)
			}
		}
	}
	slices.Sort(seqs)
	return slices.Compact(seqs)
}

// Edge is the answer that is one edge, by its ID.
func (g *Graph) Edge(id string) (*Answer, error) {
	for i := range g.Edges {
		if g.EdgeID(int32(i)) != id {
			continue
		}
		e := &g.Edges[i]
		w := &walk{g: g, at: forever, number: map[int32]int{}, edges: []int32{int32(i)}}
		w.answer = Answer{Question: Question{Target: g.Nodes[e.Into].Title(), Up: true}, Events: g.Events}
		w.answer.Roots = []int{w.add(e.Into, 0)}
		w.finish()
		return &w.answer, nil
	}
	return nil, &Unfound{Target: id}
}

// Checked is what a proof shows.
type Checked struct {
	Answer  *Answer // as it follows from the entries, with nothing of what the file says beside them
	Entries int
	Claimed int // ways of which is proven only that somebody claimed them
	Origin  string
	Size    uint64 // entries under the checkpoint
	Root    string
}

// IsProof says whether data looks like a proof of lineage.
func IsProof(data []byte) bool {
	var head struct {
		Format string `json:"format"`
	}
	return json.Unmarshal(data, &head) == nil && strings.HasPrefix(head.Format, "sluice-lineage-proof/")
}

// Check checks a proof with the public key alone: that each entry is in the record, and
// that the entries, folded anew, make each way that the answer has. It does not show that
// there were no others.
func Check(data []byte, key string) (*Checked, error) {
	if len(data) > MaxProofBytes {
		return nil, fmt.Errorf("a proof of %d bytes: longer than any", len(data))
	}
	var p Proof
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("not a proof: %w", err)
	}
	if p.Format != ProofFormat || p.Answer == nil || len(p.Proofs) > MaxProofEntries {
		return nil, fmt.Errorf("not a proof: its format is %q, not %q, or it has no answer, or too many entries", p.Format, ProofFormat)
	}
	c := &Checked{Entries: len(p.Proofs)}
	var events []audit.Event
	for _, one := range p.Proofs {
		text, err := json.Marshal(one)
		if err != nil {
			return nil, err
		}
		proven, err := audit.VerifyProof(text, key)
		if err != nil {
			return nil, err
		}
		if c.Root != "" && (proven.Root != c.Root || proven.Origin != c.Origin) {
			return nil, fmt.Errorf("entry %d is proven by another checkpoint than the others", proven.Event.Seq)
		}
		c.Origin, c.Size, c.Root = proven.Origin, proven.Size, proven.Root
		events = append(events, proven.Event)
	}
	slices.SortStableFunc(events, func(a, b audit.Event) int {
		return int(min(max(int64(a.Seq)-int64(b.Seq), -1), 1))
	})
	g := New()
	for i := range events {
		if i == 0 || events[i].Seq != events[i-1].Seq {
			g.Take(&events[i])
		}
	}
	var err error
	c.Answer, c.Claimed, err = g.again(p.Answer)
	return c, err
}

// again makes an answer anew from this graph: the same edges, and everything else as this
// graph has it. An edge that it does not have is an error.
func (g *Graph) again(a *Answer) (*Answer, int, error) {
	known := map[string]int32{}
	for i := range g.Edges {
		known[g.EdgeID(int32(i))] = int32(i)
	}
	w := &walk{g: g, at: forever, number: map[int32]int{}}
	w.answer = Answer{Question: a.Question, Events: g.Events, Nodes: []AnswerNode{}, Edges: []AnswerEdge{}}
	inside := func(i int) bool { return i >= 0 && i < len(a.Nodes) }
	for _, e := range a.Edges {
		i, ok := known[e.ID]
		if !ok || !inside(e.From) || !inside(e.Into) {
			return nil, 0, fmt.Errorf("the way %s does not follow from the entries", e.ID)
		}
		from, into := &g.Nodes[g.Edges[i].From], &g.Nodes[g.Edges[i].Into]
		if a.Nodes[e.From].Title != from.Title() || a.Nodes[e.Into].Title != into.Title() || e.How != g.Edges[i].How.String() {
			return nil, 0, fmt.Errorf("the way %s is from %s to %s by the entries, not as the file says", e.ID, from.Title(), into.Title())
		}
		if !slices.Contains(w.edges, i) {
			w.edges = append(w.edges, i)
		}
	}
	for _, r := range a.Roots {
		if !inside(r) {
			return nil, 0, fmt.Errorf("the file names no target")
		}
		kind := slices.Index(kindNames, a.Nodes[r].Kind)
		if n, ok := g.keys[nodeKey(Kind(max(kind, 0)), a.Nodes[r].Connection, a.Nodes[r].Name, a.Nodes[r].Column)]; ok {
			w.answer.Roots = append(w.answer.Roots, w.add(n, 0))
		}
	}
	w.answer.More = false
	w.finish()
	claimed := 0
	for _, e := range w.answer.Edges {
		if e.Claimed {
			claimed++
		}
	}
	return &w.answer, claimed, nil
}
