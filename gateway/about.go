package gateway

import (
	"slices"
	"sync"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// about is what is worked out of a statement under one catalogue, whoever runs it.
// Nothing in it is changed once made, so executions share it.
type about struct {
	result   []query.Column       // columns of its result
	known    bool                 // result is complete and in order
	labels   [][]mask.SourceLabel // of the sources of each
	watch    []watched            // columns of the result to look at while they pass unread
	steering steering             // see guard.go
	personal bool                 // it touches personal data, or may
	redacted string               // its text for the record, of this or one that differs in constants
	reads    []string             // for the record, as the next two
	writes   []string
	signs    []string
	hides    hides    // see veil.go
	holdings []string // columns of personal data, with what they hold
	flows    []string // the ways that values take, if nothing of the result is hidden
}

// maxAbouts bounds what one catalogue remembers: as many as the query cache.
const maxAbouts = query.DefaultEntries

// abouts remembers, under one catalogue, what is known of the statements that the
// query cache shares. The zero value is ready.
type abouts struct {
	mu   sync.RWMutex
	list map[aboutKey]*about
}

// aboutKey is the statement as sent, and what it comes to.
type aboutKey struct{ text, means *query.Statement }

// about is what is known of x in this view. Only what the query cache shares is kept:
// everything else lives for one request.
func (v view) about(x *run) *about {
	k := v.known
	if !x.common {
		return newAbout(v, x)
	}
	key := aboutKey{shared(x.text), shared(x.means)}
	k.abouts.mu.RLock()
	a := k.abouts.list[key]
	k.abouts.mu.RUnlock()
	if a != nil {
		return a
	}
	a = newAbout(v, x)
	k.abouts.mu.Lock()
	defer k.abouts.mu.Unlock()
	if k.abouts.list == nil || len(k.abouts.list) >= maxAbouts {
		k.abouts.list = map[aboutKey]*about{}
	}
	k.abouts.list[key] = a
	return a
}

// shared is what the query cache shares of a statement: texts that differ in
// constants have one.
func shared(st *query.Statement) *query.Statement {
	if st.Like != nil {
		return st.Like
	}
	return st
}

func newAbout(v view, x *run) *about {
	a := &about{personal: v.touches(x.means), redacted: query.Redact(x.text)}
	a.result, a.known = x.means.Results()
	a.steering = v.steering(x.means)
	for _, c := range a.result {
		a.labels = append(a.labels, v.labels(c))
	}
	if a.known {
		a.watch = v.known.watch(a.result)
	}
	a.touch(x.means)
	a.holdings = v.holdings(x.means)
	a.flows = audit.FormatFlows(flowsOf(x.means, a.result, a.known, nil))
	return a
}

// touch collects for the record what a statement, and those inside it, read, write and
// show.
func (a *about) touch(st *query.Statement) {
	for ; st != nil; st = st.Inner {
		a.reads = addRefs(a.reads, st.Reads)
		a.writes = addRefs(a.writes, written(st))
		for _, sign := range st.Signs {
			a.signs = append(a.signs, string(sign))
		}
	}
}

// written are the relations for the record: of a table that is written by its own name,
// the partitions are left out, of which there may be thousands.
func written(st *query.Statement) []query.Ref {
	parts := map[query.Ref]bool{}
	for _, c := range st.Consequences {
		if c.Part() {
			parts[c.Ref] = true
		}
	}
	for _, c := range st.Consequences {
		if !c.Part() {
			delete(parts, c.Ref) // written for a reason of its own
		}
	}
	if len(parts) == 0 {
		return st.Targets
	}
	return slices.DeleteFunc(slices.Clone(st.Targets), func(r query.Ref) bool { return parts[r] })
}

func addRefs(dst []string, refs []query.Ref) []string {
	for _, r := range refs {
		dst = append(dst, r.String())
	}
	return dst
}

// labels are what is known of the sources of a result column.
func (v view) labels(c query.Column) []mask.SourceLabel {
	out := make([]mask.SourceLabel, 0, len(c.Sources))
	for _, src := range c.Sources {
		label := v.label(src.Ref)
		if src.How == query.Counted {
			label = catalog.Label{Clean: true}
		}
		out = append(out, mask.SourceLabel{Type: mask.Type(label.Type), PII: label.PII, Clean: label.Clean, Direct: src.How == query.Direct, Where: label.Where})
	}
	return out
}

// touches reports whether a statement reads or writes personal data, or may.
func (v view) touches(st *query.Statement) bool {
	if st.Kind == query.Unknown || st.Partial {
		return true
	}
	for _, refs := range [][]query.Ref{st.Reads, st.Targets} {
		if slices.ContainsFunc(refs, v.personal) {
			return true
		}
	}
	// What a trigger reads comes back in its messages, if at all.
	if slices.ContainsFunc(st.Consequences, func(c query.Consequence) bool { return v.personal(c.Ref) }) {
		return true
	}
	return st.Inner != nil && v.touches(st.Inner)
}

// seen are the labels of result column i with regard to who asks: kinds of data
// that the caller may see count as clean.
func (x *run) seen(i int) []mask.SourceLabel {
	labels := x.about.labels[i]
	if x.verdict.Effect == policy.Deny || len(x.verdict.Unmask) == 0 {
		return labels
	}
	labels = slices.Clone(labels)
	for j := range labels {
		l := &labels[j]
		if l.PII && slices.Contains(x.verdict.Unmask, string(l.Type)) {
			l.PII, l.Clean = false, true
		}
	}
	return labels
}

// all is what a rule's unmask says to show everything, also what nothing is known of.
const all = "all"

// bare reports whether the caller may see everything in the clear.
func (x *run) bare() bool {
	return x.verdict.Effect != policy.Deny && slices.Contains(x.verdict.Unmask, all)
}

// mustLook reports whether rows must be seen one by one: not every column is known
// to be clean.
func (x *run) mustLook() bool {
	if x.bare() || x.text.Kind == query.Declare {
		return false // of a cursor the rows come with FETCH
	}
	if x.blind != "" || !x.about.known || x.text.Kind == query.Fetch || x.text.Kind == query.Execute {
		return true // what a name stands for is settled when it runs
	}
	for i, c := range x.about.result {
		if !c.Known {
			return true
		}
		for _, l := range x.seen(i) {
			if !l.Clean {
				return true
			}
		}
	}
	return false
}

// columns decides on each result column. The statement's own columns count only if
// there are as many as the server says.
func (x *run) columns(told []wire.Column, s *catalog.Snapshot) []mask.Column {
	out := make([]mask.Column, len(told))
	match := x.about.known && len(x.about.result) == len(told)
	for i, c := range told {
		if x.bare() {
			out[i] = mask.Column{Name: c.Name, State: mask.Clean, TypeOID: c.TypeOID, Binary: c.Binary}
			continue
		}
		if x.blind != "" {
			out[i] = mask.Column{Name: c.Name, Label: "steered by " + x.blind, TypeOID: c.TypeOID, Binary: c.Binary}
			continue
		}
		if !match {
			out[i] = mask.Resolve(nil, false, c.TypeOID, c.Binary, c.Name)
			continue
		}
		from, oid := x.about.result[i], s.BaseType(c.TypeOID)
		if from.Known && s.Enum(oid) {
			oid = charOID
		}
		out[i] = mask.Resolve(x.seen(i), from.Known, oid, c.Binary, c.Name)
	}
	return out
}

// charOID is the type "char", whose values say as little by themselves as an enum's:
// what these can be was written down when the type was made.
const charOID = 18

func hiddenColumns(p *mask.Plan) (hidden []string) {
	for _, c := range p.Columns() {
		switch {
		case c.State == mask.PII, c.State == mask.Hide:
			hidden = append(hidden, c.Name+":"+c.Label)
		case c.State == mask.Unknown && c.Label != "": // the rest of it is shown
			hidden = append(hidden, c.Name+":"+c.Label+" in part")
		}
	}
	return hidden
}
