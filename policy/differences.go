package policy

import (
	"reflect"
	"strings"
)

// Differences says for people by which rules r differs from old: "added a; removed b;
// changed c", or "the same rules".
func (r *Rules) Differences(old *Rules) string {
	was := map[string]Rule{}
	for _, rule := range old.List {
		was[rule.Name] = rule
	}
	var added, removed, changed []string
	for _, rule := range r.List {
		before, ok := was[rule.Name]
		delete(was, rule.Name)
		switch {
		case !ok:
			added = append(added, rule.Name)
		case !sameRule(rule, before):
			changed = append(changed, rule.Name)
		}
	}
	for _, rule := range old.List { // in their order
		if _, gone := was[rule.Name]; gone {
			removed = append(removed, rule.Name)
		}
	}
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"added", added}, {"removed", removed}, {"changed", changed}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+" "+strings.Join(p.names, ", "))
		}
	}
	if r.zone().String() != old.zone().String() {
		parts = append(parts, "time zone "+r.zone().String())
	}
	if len(parts) == 0 {
		return "the same rules"
	}
	return strings.Join(parts, "; ")
}

// sameRule leaves the compiled expressions out: they follow from the text.
func sameRule(a, b Rule) bool {
	a.program, b.program = nil, nil
	a.names, b.names = nil, nil
	return reflect.DeepEqual(a, b)
}
