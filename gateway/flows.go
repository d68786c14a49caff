package gateway

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
)

// flows are those of a run, with what its caller is not shown.
func (s *session) flows(x *run) []string {
	if !x.look || x.bare() {
		return x.about.flows
	}
	hidden := make([]bool, len(x.about.result))
	for i, c := range x.about.result {
		state := mask.Resolve(x.seen(i), c.Known, s.typeOf(c), false, c.Name).State
		hidden[i] = x.blind != "" || state == mask.PII || state == mask.Hide
	}
	if !slices.Contains(hidden, true) {
		return x.about.flows
	}
	return audit.FormatFlows(flowsOf(x.means, x.about.result, x.about.known, hidden))
}

// command are the leading words of a statement of which the kind does not say all that
// changes where data is.
func command(st *query.Statement) string {
	switch st.Kind {
	case query.DDL, query.Drop, query.Truncate, query.Transaction, query.Maintain:
		return st.Tag
	}
	if strings.HasPrefix(st.Tag, "EXPLAIN") {
		return st.Tag
	}
	return ""
}

// flowList are flows that are put together source by source.
type flowList []audit.Flow

func (l *flowList) add(into, how string, masked bool, from string, roles ...string) {
	at := slices.IndexFunc(*l, func(f audit.Flow) bool {
		return f.Into == into && f.How == how && f.Masked == masked && slices.Equal(f.Roles, roles)
	})
	if at < 0 {
		at = len(*l)
		*l = append(*l, audit.Flow{Into: into, How: how, Masked: masked, Roles: roles})
	}
	if f := &(*l)[at]; from != "" && !slices.Contains(f.From, from) {
		f.From = append(f.From, from)
	}
}

// column adds all that reaches one column.
func (l *flowList) column(into string, c query.Column, masked bool) {
	if !c.Known {
		l.add(into, audit.FlowUnknown, masked, "")
	}
	for _, src := range c.Sources {
		l.add(into, string(src.How), masked, src.Ref.String())
	}
}

// flowsOf lists what goes where in a statement; hidden says which columns of its result
// are masked, nil if none is.
func flowsOf(st *query.Statement, result []query.Column, known bool, hidden []bool) []audit.Flow {
	switch st.Kind {
	case query.Prepare, query.Declare, query.Explain:
		return nil // it runs when it is executed or fetched, or not at all
	}
	var list flowList
	var targets []string // of what steers and of what could not be traced
	vague := false
	for x := st; x != nil; x = x.Inner {
		for _, p := range x.Puts {
			list.column(placeOf(p.Into), p.From, false)
		}
		if !x.Writes {
			continue
		}
		for _, ref := range written(x) {
			if into := ref.String(); !slices.Contains(targets, into) {
				targets = append(targets, into)
			}
		}
		vague = len(x.Puts) == 0 && (vague || len(x.Reads) > 0 && fills(x.Kind))
	}
	if vague {
		for _, into := range targets {
			list.add(into, audit.FlowUnknown, false, "")
		}
	}
	for i, c := range result {
		list.column("", c, hidden != nil && hidden[i])
	}
	if !known {
		list.add("", audit.FlowUnknown, false, "")
	}
	if len(targets) == 0 {
		targets = []string{""}
	}
	list.rest(st, targets)
	if targets[0] == "" {
		list.short()
	}
	return list
}

// placeOf names what is written. Of a relation that is in no catalogue and was written
// without a schema, a column would read like a relation with one.
func placeOf(ref query.Ref) string {
	if ref.Schema == "" {
		return ref.Table
	}
	return ref.String()
}

// fills says whether statements of a kind put into tables what they read.
func fills(k query.Kind) bool {
	switch k {
	case query.Delete, query.Drop, query.Truncate, query.Lock, query.Grant, query.Set, query.Transaction, query.Listen:
		return false
	}
	return true
}

// maxSteered bounds the written relations that each column which steers is listed for: the
// first are those of the statement itself, and cascades come after.
const maxSteered = 8

// rest adds what is read and reaches no column: it steers, or nobody knows.
func (l *flowList) rest(st *query.Statement, targets []string) {
	placed := map[string]bool{}
	for _, f := range *l {
		for _, from := range f.From {
			placed[from] = true
		}
	}
	for x := st; x != nil; x = x.Inner {
		for _, ref := range x.Reads {
			name, how := ref.String(), audit.FlowUnknown
			steers := slices.Contains(x.Indirect, ref) || ref.Column == "" && !x.Partial
			if placed[name] && (!steers || targets[0] == "") {
				continue // who is given the value learns what it steers
			}
			var roles []string
			if steers {
				how, roles = audit.FlowSteers, strings.Fields(x.Roles[ref].String())
			}
			for _, into := range targets[:min(len(targets), maxSteered)] {
				l.add(into, how, false, name, roles...)
			}
		}
	}
}

// short leaves out what comes out as it is and goes no other way: Event.Reads has it.
func (l *flowList) short() {
	elsewhere := map[string]bool{}
	plain := func(f audit.Flow) bool { return f.Into == "" && f.How == audit.FlowDirect && !f.Masked }
	for _, f := range *l {
		if !plain(f) {
			for _, from := range f.From {
				elsewhere[from] = true
			}
		}
	}
	for i := range *l {
		if f := &(*l)[i]; plain(*f) {
			f.From = slices.DeleteFunc(f.From, func(from string) bool { return !elsewhere[from] })
		}
	}
	*l = slices.DeleteFunc(*l, func(f audit.Flow) bool { return plain(f) && len(f.From) == 0 })
}

// place is where the database of a connection is, by the name that others call it, too.
func (d *database) place() string {
	return net.JoinHostPort(d.Database.Host, strconv.Itoa(int(d.Database.Port))) + "/" + d.Database.Database
}
