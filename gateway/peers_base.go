package gateway

import (
	"context"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
)

// sure is the catalogue with nothing in it but what is known: what other gateways may know
// better is doubted only as it is put to use.
func (k *known) sure() known {
	next := *k
	next.Snapshot = k.certain
	return next
}

// doubted hides what a database has that was not there when every peer was last heard: one
// of them may have filled it with personal data. silent is who is not heard.
func (d *database) doubted(s *catalog.Snapshot) *catalog.Snapshot {
	if d.peers == nil {
		return s
	}
	columns := s.Attributes()
	there := map[uint32]int16{}
	for at := range columns {
		there[at.Relation] = max(there[at.Relation], at.Number)
	}
	silent := d.peers.vouch(s.Identity, there)
	if silent == "" {
		return s
	}
	known := d.peers.known(s.Identity)
	labels := map[query.Ref]catalog.Label{}
	for at, ref := range columns {
		if !known(at.Relation, at.Number) {
			labels[ref] = catalog.Label{PII: true, Type: string(mask.Opaque), Where: whole, Confidence: 0.5, Evidence: "new, and " + silent}
		}
	}
	if len(labels) == 0 {
		return s
	}
	return s.WithLabels(labels)
}

// lift has every catalogue put to use again, with what is known of peers now.
func (g *Gateway) lift() {
	for _, d := range g.bases {
		select {
		case d.heard <- struct{}{}:
		default: // it is about to be
		}
	}
}

// reconsider puts the catalogue to use as it is known now.
func (d *database) reconsider() {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.current.Load()
	if old == nil {
		return
	}
	next := old.sure()
	next.number, next.abouts = old.number+1, &abouts{}
	d.publish(&next)
}

// adopt puts to use labels that came from elsewhere: from another gateway, or for another
// connection to the same database. It returns when they are in force.
func (g *Gateway) adopt(ctx context.Context, news []ruling, from *database) error {
	for _, d := range g.bases {
		if d == from {
			continue
		}
		if err := d.adopt(ctx, news); err != nil {
			return err
		}
	}
	return nil
}

func (d *database) adopt(ctx context.Context, news []ruling) error {
	d.mu.Lock() // also while it is read for the first time, which may have begun before
	defer d.mu.Unlock()
	old := d.current.Load()
	if old == nil {
		return nil
	}
	ours, back := false, map[query.Ref]catalog.Label{}
	table := map[query.Ref]bool{}
	for _, x := range news {
		ours = ours || x.Server == old.Identity
		if x.Server == old.Identity && x.As == asAuto { // judged as if for the first time
			back[x.ref()] = catalog.Label{}
			table[query.Ref{Schema: x.Schema, Table: x.Table}] = true
		}
	}
	if !ours {
		return nil
	}
	next := old.sure()
	if len(back) > 0 {
		next.Snapshot = next.WithLabels(back)
		if err := d.connect(ctx); err != nil {
			return err
		}
		if err := d.label(ctx, &next, unlabelled, catalog.Budget{Only: table}); err != nil {
			d.log.Warn("judge columns again", "connection", d.Name, "error", err)
		}
	}
	said, err := d.rulings.in(d.Name, next.Snapshot)
	if err != nil {
		return err
	}
	next.overrule(said)
	d.replace(old, &next)
	return nil
}

// numbered has the catalogue read before somebody elsewhere changes it, so that labels
// which go by a name have the number of its table before it can get another. but is the
// connection at which it is changed; nil if that is another gateway's.
func (g *Gateway) numbered(ctx context.Context, database string, but *database) {
	for _, d := range g.bases {
		if s := d.snapshot(); d != but && s != nil && s.Identity == database {
			d.stale()
			d.fresh(ctx)
		}
	}
}

// staleAll notes that the catalogue of a database may have changed, for every connection
// to it.
func (g *Gateway) staleAll(database string) {
	for _, d := range g.bases {
		if s := d.snapshot(); s != nil && s.Identity == database {
			d.stale()
		}
	}
}
