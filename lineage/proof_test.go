package lineage

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// recorded is a record with a pipeline in it, its key, and its graph.
func recorded(t testing.TB) (dir, key string, g *Graph) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "record")
	l, err := audit.Open(audit.Config{Dir: dir, Origin: "sluice/test"})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	put := func(ev audit.Event) string {
		ev.Who, ev.Subject, ev.CallerKind, ev.Connection, ev.Session, ev.Time = "ada", "ada", "person", "orders", "s-1", at
		at = at.Add(time.Second)
		ticket, err := l.Append(ev)
		if err != nil {
			t.Fatal(err)
		}
		return ticket.ID
	}
	ran := func(ev audit.Event) {
		ev.Kind, ev.Effect = audit.Decided, "hold"
		id := put(ev)
		put(audit.Event{Kind: audit.Answered, Of: id, Effect: "allow", Approvers: []string{"dan"}})
		put(audit.Event{Kind: audit.Finished, Of: id, Outcome: "ok", Rows: 1})
	}
	put(audit.Event{Kind: audit.Started})
	put(audit.Event{Kind: audit.RunBegan, Run: "r0", Job: "ingest"})
	ran(audit.Event{Statement: "transaction", Command: "BEGIN"})
	ran(audit.Event{Statement: "insert", Reads: []string{"public.a.x"}, Writes: []string{"public.b"}, Flows: []string{"public.b.x direct public.a.x"}, Run: "r0"})
	ran(audit.Event{Statement: "transaction", Command: "COMMIT", SQL: "commit"})
	ran(audit.Event{Statement: "ddl", Command: "ALTER TABLE RENAME", Writes: []string{"public.b", "public.b2"}, Run: "r0"})
	put(audit.Event{Kind: audit.RunEnded, Run: "r0", Job: "ingest", Outcome: "ok"})
	put(audit.Event{Kind: audit.RunBegan, Run: "r1", Job: "train"})
	ran(audit.Event{Statement: "select", Reads: []string{"public.b2.x"}, Run: "r1"})
	put(audit.Event{Kind: audit.RunEnded, Run: "r1", Job: "train", Outcome: "ok", Outputs: []string{"model:m@1\tsha256:aa\tm.bin"}})
	key = l.VerifierKey()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	g = New()
	if _, err := audit.Forward(t.Context(), dir, audit.Place{}, func(_ audit.Place, line []byte) error {
		ev, err := audit.Decode(line)
		g.Take(&ev)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return dir, key, g
}

func proofOf(t testing.TB, dir string, g *Graph, target string) *Proof {
	t.Helper()
	a, err := g.Ask(Question{Target: target, Up: true})
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := audit.ProveAll(t.Context(), dir, a.Seqs())
	if err != nil {
		t.Fatal(err)
	}
	return &Proof{Format: ProofFormat, Answer: a, Proofs: proofs}
}

func TestProofsHold(t *testing.T) {
	dir, key, g := recorded(t)
	data, err := json.Marshal(proofOf(t, dir, g, "model:m@1"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Check(data, key)
	if err != nil || len(c.Answer.Edges) != 4 || c.Answer.Nodes[c.Answer.Roots[0]].Hash != "sha256:aa" || c.Claimed != 0 {
		t.Fatalf("%+v %v", c, err)
	}
	tree := c.Answer.Tree(nil, func(s string) string { return s }, time.UTC)
	for _, want := range []string{"made by run of train", "read orders:public.b2.x", "was orders:public.b", "copied from orders:public.a.x", "approved by dan"} {
		if !strings.Contains(tree, want) {
			t.Errorf("no %q in\n%s", want, tree)
		}
	}
}

// A file that says more than its entries proves nothing.
func TestProofThatSaysMoreThanItsEntries(t *testing.T) {
	dir, key, g := recorded(t)
	for name, forge := range map[string]func(*Proof){
		"another approver":  func(p *Proof) { p.Answer.Edges[0].ID = "e-0000000000000000" },
		"another source":    func(p *Proof) { p.Answer.Nodes[p.Answer.Edges[0].From].Title = "orders:public.innocent.x" },
		"another way":       func(p *Proof) { p.Answer.Edges[0].How = "counted" },
		"entries left out":  func(p *Proof) { p.Proofs = p.Proofs[1:] },
		"no entries":        func(p *Proof) { p.Proofs = nil },
		"a changed entry":   func(p *Proof) { p.Proofs[2].Entry = strings.Replace(p.Proofs[2].Entry, "ada", "eve", 1) },
		"nodes out of list": func(p *Proof) { p.Answer.Edges[0].From = 99 },
		"roots out of list": func(p *Proof) { p.Answer.Roots = []int{-1} },
	} {
		p := proofOf(t, dir, g, "model:m@1")
		forge(p)
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Check(data, key); err == nil {
			t.Errorf("%s: it was believed", name)
		}
	}
	// What the file says beside the entries is not repeated.
	p := proofOf(t, dir, g, "model:m@1")
	for i := range p.Answer.Edges {
		p.Answer.Edges[i].Approvers, p.Answer.Edges[i].Who = []string{"mallory"}, "mallory"
	}
	p.Answer.Nodes[0].Hash = "sha256:bb"
	data, _ := json.Marshal(p)
	c, err := Check(data, key)
	if err != nil || c.Answer.Nodes[c.Answer.Roots[0]].Hash != "sha256:aa" {
		t.Fatal(err)
	}
	if out, _ := json.Marshal(c); bytes.Contains(out, []byte("mallory")) {
		t.Error("it says what only the file said")
	}
}

func FuzzCheck(f *testing.F) {
	dir, key, g := recorded(f)
	data, err := json.Marshal(proofOf(f, dir, g, "model:m@1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":"sluice-lineage-proof/1","answer":{"edges":[{}],"roots":[7]}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = Check(data, key)
	})
}
