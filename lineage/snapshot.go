package lineage

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// Mark is how far a graph has got in a record, and in which.
type Mark struct {
	Key   string      // public key of the record
	First uint64      // entry that the record began with when the graph was begun
	Place audit.Place // of the next entry
	Last  string      // hash of the entry before it, and where that begins
}

// snapshotFormat changes whenever the state or what is folded from an event changes:
// snapshots of other versions are made anew.
const snapshotFormat = "sluice-lineage/4"

var errSnapshot = errors.New("it is no snapshot of this version, or is damaged")

// Save writes the graph so that Load makes the same of it.
func (g *Graph) Save(w io.Writer, m Mark) error {
	var body bytes.Buffer
	enc := gob.NewEncoder(&body)
	if err := errors.Join(enc.Encode(m), enc.Encode(&g.state)); err != nil {
		return fmt.Errorf("write the lineage: %w", err)
	}
	sum := sha256.Sum256(body.Bytes())
	if _, err := io.WriteString(w, snapshotFormat+" "+hex.EncodeToString(sum[:])+"\n"); err != nil {
		return err
	}
	_, err := body.WriteTo(w)
	return err
}

// Load reads what Save wrote. Anything else is an error, and nothing of it is used.
func Load(data []byte) (*Graph, Mark, error) {
	head, body, _ := bytes.Cut(data, []byte("\n"))
	format, want, _ := strings.Cut(string(head), " ")
	sum := sha256.Sum256(body)
	if format != snapshotFormat || want != hex.EncodeToString(sum[:]) {
		return nil, Mark{}, errSnapshot
	}
	dec := gob.NewDecoder(bytes.NewReader(body))
	g, m := New(), Mark{}
	if err := errors.Join(dec.Decode(&m), dec.Decode(&g.state)); err != nil {
		return nil, Mark{}, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if err := g.sound(); err != nil {
		return nil, Mark{}, err
	}
	g.mend()
	g.reindex()
	return g, m, nil
}

// sound checks that numbers in the state name what is there.
func (g *Graph) sound() error {
	n, a := int32(len(g.Nodes)), int32(len(g.Acts))
	for i := range g.Nodes {
		node := &g.Nodes[i]
		if int(node.Kind) >= len(kindNames) || node.Parent >= n || (node.Kind == Column) != (node.Parent >= 0) {
			return errSnapshot
		}
	}
	for i := range g.Edges {
		e := &g.Edges[i]
		if e.From < 0 || e.From >= n || e.Into < 0 || e.Into >= n || e.By < 0 || e.By >= a || int(e.How) >= len(howNames) {
			return errSnapshot
		}
	}
	return nil
}

// mend makes the maps that were empty, which are not written.
func (g *Graph) mend() {
	if g.Databases == nil {
		g.Databases = map[string]string{}
	}
	if g.Sessions == nil {
		g.Sessions = map[string]*session{}
	}
	if g.Pending == nil {
		g.Pending = map[uint64]*statement{}
	}
	for i := range g.Nodes {
		if in := g.Nodes[i].Info; in != nil && (in.Ended == 0 || in.Status == Lost) {
			if in.Ways == nil {
				in.Ways = map[int32]Roles{}
			}
			for _, m := range []*map[int32]bool{&in.Moves, &in.Reads, &in.Writes} {
				if *m == nil {
					*m = map[int32]bool{}
				}
			}
		}
	}
}
