package catalog

import (
	"regexp"
	"slices"
)

// settled reports whether a text says the same as long as nothing is changed on which
// pg_depend says that it depends. Constants are printed by what is written of their
// type: one of a type in which there may be the number of a relation or a routine is
// printed by a name that anybody may change.
func settled(text string, enums map[string]bool) bool {
	for _, m := range constants.FindAllStringSubmatch(text, -1) {
		if !plainTypes[m[1]] && !enums[m[1]] {
			return false
		}
	}
	return true
}

// unsettled adds those whose texts are read again each time.
func (r *rows) unsettled(c *change) {
	for oid, list := range r.relations {
		if list[0].unsettled {
			c.relations[oid] = true
		}
	}
	for oid, list := range r.rules {
		if slices.ContainsFunc(list, func(x ruleRow) bool { return x.unsettled }) {
			c.relations[oid] = true
		}
	}
	for oid, list := range r.routines {
		if list[0].unsettled {
			c.routines[oid] = true
		}
	}
}

// constants finds the first word of the type of each, and that of an enum whole.
var constants = regexp.MustCompile(`'::((?:"(?:[^"]|"")*"|[\pL\pN_$.])+)`)

// plainTypes are the server's own that are printed as what they hold.
var plainTypes = words(`text integer bigint smallint numeric real double boolean date time interval timestamp uuid json jsonb bytea bpchar
	character name money bit oid xid inet cidr macaddr point path box circle polygon line lseg tsvector tsquery xml unknown`)
