package mask

// kind groups PostgreSQL types by how their values are read and replaced.
type kind uint8

const (
	kindOther kind = iota // not known: composites, ranges, enums, types of extensions
	kindText
	kindJSON
	kindJSONB
	kindXML
	kindBytes
	kindBool
	kindInt2
	kindInt4
	kindInt8
	kindFloat4
	kindFloat8
	kindNumeric
	kindMoney
	kindOID
	kindDate
	kindTimestamp
	kindTimestampTZ
	kindTime
	kindTimeTZ
	kindInterval
	kindUUID
	kindInet
	kindCIDR
	kindMAC
	kindMAC8
	kindTextArray
	kindJSONArray
	kindNumberArray
	kindRecord
)

// kindOf knows the types whose OIDs are fixed in PostgreSQL's bootstrap catalogue.
func kindOf(oid uint32) kind {
	switch oid {
	case 25, 1043, 1042, 19, 705, 2275:
		return kindText
	case 114:
		return kindJSON
	case 3802:
		return kindJSONB
	case 142:
		return kindXML
	case 17:
		return kindBytes
	case 16:
		return kindBool
	case 21:
		return kindInt2
	case 23:
		return kindInt4
	case 20:
		return kindInt8
	case 700:
		return kindFloat4
	case 701:
		return kindFloat8
	case 1700:
		return kindNumeric
	case 790:
		return kindMoney
	case 26:
		return kindOID
	case 1082:
		return kindDate
	case 1114:
		return kindTimestamp
	case 1184:
		return kindTimestampTZ
	case 1083:
		return kindTime
	case 1266:
		return kindTimeTZ
	case 1186:
		return kindInterval
	case 2950:
		return kindUUID
	}
	return kindOfRest(oid)
}

func kindOfRest(oid uint32) kind {
	switch oid {
	case 869:
		return kindInet
	case 650:
		return kindCIDR
	case 829:
		return kindMAC
	case 774:
		return kindMAC8
	case 1009, 1015, 1014, 1003:
		return kindTextArray
	case 199, 3807:
		return kindJSONArray
	case 1016, 1231, 1007, 1005:
		return kindNumberArray
	case 2249:
		return kindRecord
	}
	return kindOther
}

// alwaysClean says which types hold nothing personal by themselves: a value of
// them is personal only if it was derived from personal data.
func alwaysClean(oid uint32) bool {
	switch kindOf(oid) {
	case kindBool, kindInt2, kindFloat4, kindFloat8, kindTimestamp, kindTimestampTZ,
		kindTime, kindTimeTZ, kindInterval, kindOID, kindUUID, kindMoney:
		return true
	}
	switch oid {
	case 28, 29, 27, 3220, 5069, 1560, 1562, 3615, 2205, 2206, 24, 2202, 4089, 4096, 2278, 22, 30, 18:
		return true // xid, cid, tid, pg_lsn, xid8, bit, varbit, tsquery, reg*, void, int2vector, oidvector, "char"
	}
	return false
}

// readable says whether personal data shows in a value's bytes, so that looking at
// it is worth something whatever its origin.
func readable(oid uint32, binary bool) bool {
	switch kindOf(oid) {
	case kindText, kindJSON, kindJSONB, kindXML, kindTextArray, kindJSONArray, kindBytes:
		return true
	case kindRecord:
		return true
	case kindOther:
		return !binary && !alwaysClean(oid) && !opaqueText(oid)
	}
	return false
}

// scannable are the number types that can hold a card or account number.
func scannable(oid uint32) bool {
	switch kindOf(oid) {
	case kindInt4, kindInt8, kindNumeric, kindNumberArray:
		return true
	}
	return false
}

// bytewise says whether values are of a type of an extension or of the users, in binary:
// the text in them is found without knowing their form.
func bytewise(oid uint32, binary bool) bool {
	return binary && kindOf(oid) == kindOther && oid != 0 && !alwaysClean(oid) && !opaqueText(oid)
}

// plainRange are the ranges of numbers and times, and their multiranges.
func plainRange(oid uint32) bool {
	switch oid {
	case 3904, 3906, 3908, 3910, 3926, 4451, 4532, 4533, 4534, 4536:
		return true
	}
	return false
}

// opaqueText are built-in types whose text form tells nothing when it is read:
// geometry, ranges and full-text vectors.
func opaqueText(oid uint32) bool {
	switch oid {
	case 600, 601, 602, 603, 604, 628, 718, 3614, 3904, 3906, 3908, 3910, 3912, 3926:
		return true
	}
	return false
}

// TypeOID is the OID of a type by the name that format_type prints; 0 if it is not one
// of those that tell something about a column.
func TypeOID(name string) uint32 { return typeOIDs[name] }

var typeOIDs = map[string]uint32{
	"text": 25, "character varying": 1043, "character": 1042, "name": 19, "json": 114, "jsonb": 3802, "xml": 142, "bytea": 17,
	"boolean": 16, "smallint": 21, "integer": 23, "bigint": 20, "real": 700, "double precision": 701, "numeric": 1700, "money": 790,
	"date": 1082, "timestamp without time zone": 1114, "timestamp with time zone": 1184, "time without time zone": 1083,
	"time with time zone": 1266, "interval": 1186, "uuid": 2950, "inet": 869, "cidr": 650, "macaddr": 829, "macaddr8": 774,
	"text[]": 1009, "integer[]": 1007, "bigint[]": 1016,
}
