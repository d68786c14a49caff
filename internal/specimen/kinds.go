package specimen

import "fmt"

// kind is a kind of data and how a value of it is made.
type kind struct {
	name   string
	types  []string // of mask, any of which is right; nil of what is nobody's
	oid    uint32
	place  string // "" is whole
	like   string // whose name in other languages it has; "" its own
	byName bool
	things bool     // makes sense in tables about things only
	names  []string // of harmless kinds
	make   func(m *maker) string
}

func (k kind) where() string {
	if k.place == "" {
		return "whole"
	}
	return k.place
}

func (k kind) word() string {
	if k.like != "" {
		return k.like
	}
	return k.name
}

func (k kind) typ() string {
	switch k.oid {
	case oidInt4:
		return "integer"
	case oidInt8:
		return "bigint"
	case oidNumeric:
		return "numeric"
	case oidDate:
		return "date"
	case oidFloat8:
		return "double precision"
	case oidBool:
		return "boolean"
	case oidTime:
		return "timestamp with time zone"
	case oidUUID:
		return "uuid"
	case oidInet:
		return "inet"
	case oidMAC:
		return "macaddr"
	case oidPoint:
		return "point"
	case oidJSON:
		return "json"
	case oidJSONB:
		return "jsonb"
	case oidTexts:
		return "text[]"
	}
	if k.oid >= firstOwn {
		return "public.contact_card"
	}
	return "text"
}

// Numbers of types in PostgreSQL's catalogue; those from firstOwn on are made by users.
const (
	oidText, oidInt4, oidInt8, oidNumeric, oidDate = 25, 23, 20, 1700, 1082
	oidFloat8, oidBool, oidTime, oidUUID           = 701, 16, 1184, 2950
	oidInet, oidMAC, oidPoint                      = 869, 829, 600
	oidJSON, oidJSONB, oidTexts                    = 114, 3802, 1009
	firstOwn                                       = 16384
)

// personal are the kinds of personal data and of secrets.
var personal = append(append(append(wholes, ids...), secrets...), parts...)

var wholes = []kind{
	{name: "email", types: []string{"email"}, oid: oidText, make: (*maker).email},
	{name: "person", types: []string{"person"}, oid: oidText, make: (*maker).person},
	{name: "given", types: []string{"person"}, oid: oidText, make: func(m *maker) string { g, _ := m.pair(); return g }},
	{name: "family", types: []string{"person"}, oid: oidText, make: func(m *maker) string { _, f := m.pair(); return f }},
	{name: "person_last_first", types: []string{"person"}, oid: oidText, like: "person", make: func(m *maker) string { g, f := m.pair(); return f + ", " + g }},
	{name: "phone", types: []string{"phone"}, oid: oidText, make: (*maker).phone},
	{name: "phone_national", types: []string{"phone"}, oid: oidText, like: "phone", make: (*maker).phoneNational},
	{name: "phone_digits", types: []string{"phone"}, oid: oidInt8, like: "phone", byName: true, make: func(m *maker) string { return "49" + fmt.Sprint(151+m.r.IntN(20)) + m.digits(7) }},
	{name: "address", types: []string{"address"}, oid: oidText, make: (*maker).address},
	{name: "address_full", types: []string{"address"}, oid: oidText, like: "address", make: func(m *maker) string { return m.address() + ", " + m.digits(5) + " " + pick(m, m.set.places) }},
	{name: "dob", types: []string{"dob"}, oid: oidDate, make: (*maker).birth},
	{name: "dob_text", types: []string{"dob"}, oid: oidText, like: "dob", make: (*maker).birthText},
	{name: "card", types: []string{"card"}, oid: oidText, make: (*maker).card},
	{name: "card_grouped", types: []string{"card"}, oid: oidText, like: "card", make: func(m *maker) string { return grouped(m.card(), 4, " ") }},
	{name: "card_number", types: []string{"card"}, oid: oidInt8, like: "card", make: (*maker).card},
	{name: "iban", types: []string{"iban"}, oid: oidText, make: (*maker).iban},
	{name: "iban_grouped", types: []string{"iban"}, oid: oidText, like: "iban", make: func(m *maker) string { return grouped(m.iban(), 4, " ") }},
	{name: "account", types: []string{"account"}, oid: oidText, byName: true, make: func(m *maker) string { return m.digits(8 + m.r.IntN(4)) }},
	{name: "ip", types: []string{"ip"}, oid: oidText, make: (*maker).ip},
	{name: "ip6", types: []string{"ip"}, oid: oidText, like: "ip", make: (*maker).ip6},
	{name: "ip_inet", types: []string{"ip"}, oid: oidInet, like: "ip", make: (*maker).ip},
	{name: "mac", types: []string{"mac"}, oid: oidText, make: (*maker).mac},
	{name: "mac_type", types: []string{"mac"}, oid: oidMAC, like: "mac", make: (*maker).mac},
	{name: "device", types: []string{"device_id", "mac"}, oid: oidText, byName: true, make: (*maker).uuid},
	{name: "geo", types: []string{"location"}, oid: oidText, make: func(m *maker) string { return m.degree(90) + "," + m.degree(180) }},
	{name: "latitude", types: []string{"location"}, oid: oidFloat8, byName: true, make: func(m *maker) string { return m.degree(90) }},
	{name: "salary", types: []string{"salary"}, oid: oidNumeric, byName: true, make: func(m *maker) string { return fmt.Sprintf("%d.00", 18_000+m.r.IntN(120_000)) }},
	{name: "health", types: []string{"health"}, oid: oidText, byName: true, make: func(m *maker) string {
		return pick(m, []string{"J45.9", "E11", "asthma", "hypertension", "I10", "migraine", "F32.1", "none"})
	}},
	{name: "religion", types: []string{"belief"}, oid: oidText, byName: true, make: func(m *maker) string {
		return pick(m, []string{"catholic", "muslim", "none", "hindu", "jewish", "protestant", "orthodox"})
	}},
	{name: "passport", types: []string{"passport"}, oid: oidText, byName: true, make: func(m *maker) string { return pick(m, []string{"C", "X", "K", "P"}) + m.digits(8) }},
	{name: "licence", types: []string{"driving_licence"}, oid: oidText, byName: true, make: func(m *maker) string { return m.upper(2) + m.digits(9) }},
	{name: "plate", types: []string{"licence_plate"}, oid: oidText, byName: true, make: func(m *maker) string { return m.upper(2) + " " + m.upper(1) + m.digits(4) }},
	{name: "tax", types: []string{"tax_id", "national_id"}, oid: oidText, byName: true, make: func(m *maker) string { return m.digits(10) }},
}
