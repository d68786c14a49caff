package catalog

import (
	"cmp"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// group is rows by what they belong to.
type group[K comparable, R any] map[K][]R

func (g group[K, R]) size() (n int64) {
	for _, list := range g {
		n += int64(len(list))
	}
	return n
}

// renew takes groups out, has them read again, and says which are not as they were.
// Where a group is one row it needs no order.
func renew[K comparable, R any](g group[K, R], keys iter.Seq[K], order func(a, b R) int, read func() error) (changed []K, err error) {
	old := group[K, R]{}
	for k := range keys {
		old[k] = g[k]
		delete(g, k)
	}
	if err := read(); err != nil {
		return nil, err
	}
	for k, was := range old {
		if order != nil {
			slices.SortFunc(g[k], order)
		}
		if !reflect.DeepEqual(g[k], was) {
			changed = append(changed, k)
		}
	}
	return changed, nil
}

func order[K comparable, R any](g group[K, R], by func(a, b R) int) {
	for _, list := range g {
		slices.SortFunc(list, by)
	}
}

func compareColumns(a, b columnRow) int   { return cmp.Compare(a.num, b.num) }
func compareTriggers(a, b triggerRow) int { return cmp.Compare(a.oid, b.oid) }
func compareRules(a, b ruleRow) int       { return cmp.Compare(a.oid, b.oid) }
func compareKeys(a, b keyRow) int         { return cmp.Compare(a.oid, b.oid) }
func compareLimits(a, b limitRow) int {
	return cmp.Or(strings.Compare(a.kind, b.kind), strings.Compare(a.what, b.what), slices.Compare(a.numbers, b.numbers))
}
func compareHooks(a, b hookRow) int {
	return cmp.Or(cmp.Compare(a.runs, b.runs), strings.Compare(a.why, b.why), strings.Compare(a.when, b.when))
}
func compareEdges(a, b edge) int {
	return cmp.Or(compareNodes(a.on, b.on), compareNodes(a.counts, b.counts))
}
func compareNodes(a, b node) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.oid, b.oid))
}

// sortedKeys are the keys of a group in order, so that what is put together is so the
// same way each time.
func sortedKeys[R any](g group[uint32, R]) []uint32 { return slices.Sorted(maps.Keys(g)) }

func sortedOwners(g group[owner, hookRow]) []owner {
	return slices.SortedFunc(maps.Keys(g), func(a, b owner) int {
		return cmp.Or(cmp.Compare(a.relation, b.relation), cmp.Compare(a.typ, b.typ))
	})
}
