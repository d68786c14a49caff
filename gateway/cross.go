package gateway

import (
	"slices"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// What a name means is known from the catalogue as it was read last. Somebody who renames
// tables past the gateway changes it in between. The server itself says, in the
// description of a result, from which table by its number a column comes; labels are
// kept by that number, so a column is no cleaner than they say.

// firstOwn is the first number that PostgreSQL gives to what users make.
const firstOwn = 16384

// crossed is the label of the column that the server says a result column is; ok is false
// if it says none, or one of which no more is known than of its name: of a view, of the
// system, or of a table of this session.
func (k *known) crossed(x *run, c wire.Column, own bool) (l mask.SourceLabel, ok bool) {
	if c.TableOID < firstOwn || k == nil || k.Snapshot == nil || x.means.Kind != query.Select {
		return l, false
	}
	ref, found := k.Numbered(catalog.Attribute{Relation: c.TableOID, Number: c.Attr})
	if !found {
		return mask.SourceLabel{Direct: true}, !own // made since, by somebody else
	}
	if rel, _ := k.Relation(ref.Schema, ref.Table); rel.Kind == query.View {
		return l, false
	}
	label, _ := k.Label(ref)
	if label.PII && slices.Contains(x.verdict.Unmask, label.Type) {
		return l, false
	}
	return mask.SourceLabel{Type: mask.Type(label.Type), PII: label.PII, Clean: label.Clean, Where: label.Where, Direct: true}, !label.Clean
}

// strange reports whether a result that was to pass unread has a column that is not clean.
func (s *session) strange(x *run, told []wire.Column, own bool) bool {
	k := s.base.current.Load()
	if x.bare() || !slices.ContainsFunc(told, func(c wire.Column) bool { _, not := k.crossed(x, c, own); return not }) {
		return false
	}
	s.base.stale()
	return true
}

// cross decides again on columns that were clean by their names and are not by their
// numbers.
func (s *session) cross(x *run, columns []mask.Column, told []wire.Column, own bool) []mask.Column {
	k := s.base.current.Load()
	for i, c := range told {
		if x.bare() || columns[i].State != mask.Clean {
			continue
		}
		if l, not := k.crossed(x, c, own); not {
			columns[i] = mask.Resolve([]mask.SourceLabel{l}, true, k.BaseType(c.TypeOID), c.Binary, c.Name)
			s.base.stale()
		}
	}
	return columns
}

// owns reports whether the session may have tables that the catalogue does not show.
func (v view) owns() bool {
	o, ok := v.schema.(own)
	return !ok && v.schema != nil && v.version == 0 || ok && (len(o.made) > 0 || len(o.hidden) > 0 || o.bare || o.all)
}
