package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
	"github.com/sluicehq/sluice/wire/postgres"
)

// maxTail is more than any mask that is looked for in COPY data is long.
const maxTail = 64

// incoming is COPY data on its way to the database; up owns it.
type incoming struct {
	into   string      // the columns it goes to, for people
	refs   []query.Ref // these, in the order of its fields; nil if they are not known
	view   view
	data   *mask.Load // nil if it cannot be read
	tail   []byte     // the end of what was looked at, in which a mask may begin
	masked bool
}

// incomingOf is what is known of the data that a COPY FROM STDIN will bring.
func incomingOf(x *run, v view) incoming {
	c := incoming{into: v.written(x.means), view: v}
	if x.means.Target == nil || !utf8Name(x.means.Options["encoding"]) {
		return c
	}
	for _, p := range x.means.Puts {
		if p.Into.Column == query.Star {
			return c
		}
		if col, ok := v.known.Column(p.Into.Schema, p.Into.Table, p.Into.Column); ok && col.Generated() {
			continue // the server makes it, and COPY leaves it out
		}
		c.refs = append(c.refs, p.Into)
	}
	format := copyFormat(x.means, strings.EqualFold(x.means.Options["format"], "binary"))
	c.data = mask.NewLoad(len(c.refs), format)
	return c
}

// load looks at a message that needs no decision. COPY data that holds a mask makes the
// COPY fail where it ends: the beginning is with the database already. Before its end is
// sent the columns it goes to have the labels that it asks for.
func (s *session) load(ctx context.Context, req *wire.Request) error {
	c := &s.incoming
	data, ends := postgres.CopyData(req)
	if data != nil && !c.masked {
		c.tail = append(c.tail, data...)
		c.masked = mask.HoldsMask(c.tail)
		c.tail = append(c.tail[:0], c.tail[max(0, len(c.tail)-maxTail):]...)
	}
	if data != nil && c.data != nil {
		c.data.Read(data)
		c.masked = c.masked || c.data.Masked()
	}
	if !ends {
		return nil
	}
	if c.masked {
		s.failCopy(req, "the data holds masks and not the values that they hide: writing them to "+c.into+" would destroy these; leave the columns out")
		return nil
	}
	found := c.found(s.Who.Name(), s.insist(c.view))
	err := s.labelled(ctx, found)
	var no *untold
	switch {
	case errors.As(err, &no):
		s.failCopy(req, untoldReason(no, c.into))
		return nil
	case err != nil:
		return s.unlabelled(err)
	}
	*c = incoming{}
	return nil
}

// failCopy makes the COPY under way fail where it would end.
func (s *session) failCopy(req *wire.Request, why string) {
	s.mu.Lock()
	s.failing = why
	s.mu.Unlock()
	postgres.FailCopy(req, why)
	s.incoming = incoming{}
}

// found are the labels that the data brings to columns which were not personal. One value
// of a form that nothing else has is enough to read what comes back value by value, and
// to hide what is made of it. insist says of which columns others must be told although
// they are known to be personal here.
func (c *incoming) found(by string, insist func(query.Ref) bool) map[query.Ref]carried {
	found := map[query.Ref]carried{}
	if c.data == nil || c.view.known == nil || c.view.known.Snapshot == nil {
		return found
	}
	var names []string
	for _, ref := range c.refs {
		names = append(names, ref.Column)
	}
	for i, ref := range c.refs {
		samples := c.data.Samples(i)
		if l := c.view.certain(ref); l.PII || len(samples) == 0 {
			if l.PII && len(samples) > 0 && insist(ref) {
				l.Evidence = fmt.Sprintf("loaded by %s into what is personal: %s", by, l.Evidence)
				found[ref] = carried{Label: l}
			}
			continue
		}
		col := c.view.column(ref)
		f := classify(c.view.known.Snapshot, ref, col, samples, names)
		for _, v := range samples {
			if f.PII {
				break
			}
			for _, form := range mask.Forms([]byte(v), col.TypeOID) {
				if mask.Certain(form) {
					f = mask.Finding{PII: true, Type: form, Where: embedded, Evidence: fmt.Sprintf("a value of the form of %s", form)}
				}
			}
		}
		if f.PII {
			found[ref] = carried{Label: catalog.Label{PII: true, Type: string(f.Type), Where: f.Where, Confidence: f.Confidence,
				Evidence: fmt.Sprintf("loaded by %s: %s", by, f.Evidence)}}
		}
	}
	return found
}

// column is what is known of a column's type as this session sees it.
func (v view) column(ref query.Ref) catalog.Column {
	if m := v.made[ref.Table]; m != nil && m.rel.Schema == ref.Schema {
		for i, name := range m.rel.Columns {
			if name == ref.Column && i < len(m.rel.Types) {
				return catalog.Column{Name: name, Type: m.rel.Types[i], TypeOID: mask.TypeOID(m.rel.Types[i])}
			}
		}
	}
	col, _ := v.known.Column(ref.Schema, ref.Table, ref.Column)
	return col
}
