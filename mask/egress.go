package mask

import "strings"

// Egress makes the fields of an ErrorResponse or NoticeResponse fit to leave. If
// opaque, the statement touched personal data and any text of the server may quote
// it: the message is then made anew from its SQLSTATE, and detail, hint, context
// and internal query are dropped. Names of schema, table, column, type and
// constraint stay, unless the message was raised by a function, which can put
// anything there. Otherwise every field is read and hits are hidden. The map given
// is not changed.
//
// A message of the kinds that said knows stays as it is if all that it quotes stands in
// one of texts, which are what the client sent. A SQLSTATE that is none of PostgreSQL's
// stays if it is written in one of texts, or wrote says that a function has it; it may be
// nil.
func Egress(fields map[byte]string, opaque bool, wrote func(state string) bool, texts ...string) (out map[byte]string, changed bool) {
	out = make(map[byte]string, len(fields))
	for k, v := range fields {
		w, keep := v, true
		if opaque && k == 'C' {
			w = state(v, texts, wrote)
		} else if opaque {
			w, keep = opaqueField(fields, k, v, texts)
		} else if !structural(k) {
			w, _ = ScanText(v)
		}
		if !keep {
			changed = true
			continue
		}
		changed = changed || w != v
		out[k] = w
	}
	return out, changed
}

// structural fields come from the server's own tables and hold no values: severity,
// code, positions, and where in the server's source the message was made.
func structural(k byte) bool {
	switch k {
	case 'S', 'V', 'C', 'P', 'p', 'F', 'L', 'R':
		return true
	}
	return false
}

func opaqueField(fields map[byte]string, k byte, v string, texts []string) (string, bool) {
	if structural(k) && k != 'p' {
		return v, true
	}
	switch k {
	case 'p': // a place in a text that is dropped, and that whoever made it could move
		return "", false
	case 'M':
		if fields['R'] != raise && said(v, texts) {
			return v, true
		}
		return template(fields['C']), true
	case 's', 't', 'c', 'd', 'n':
		if r := fields['R']; r == "" || r == raise {
			return "", false
		}
		w, _ := ScanText(v)
		return w, true
	}
	return "", false
}

// raise is the routine of PostgreSQL that says what a function wants said.
const raise = "exec_stmt_raise"

// template is what a message of this SQLSTATE says, without the values.
func template(code string) string {
	if m, ok := templates[code]; ok {
		return m
	}
	if len(code) == 5 {
		if m, ok := classTemplates[code[:2]]; ok {
			return m
		}
	}
	return "the server reported a problem; its words are hidden because the statement touches personal data"
}

var templates = map[string]string{
	"01000": "a warning was raised",
	"22001": "value too long for the column's type",
	"22003": "value out of range",
	"22004": "null value not allowed",
	"22007": "invalid input syntax for a date or time",
	"22008": "date or time out of range",
	"22012": "division by zero",
	"22023": "invalid parameter value",
	"22026": "string length mismatch",
	"2202E": "wrong number of array subscripts",
	"22032": "invalid JSON text",
	"22P02": "invalid input syntax for the type",
	"22P03": "invalid binary representation",
	"22P05": "character cannot be converted",
	"21000": "more than one row returned by a subquery used as an expression",
	"23001": "restrict violation",
	"23502": "null value violates not-null constraint",
	"23503": "foreign key constraint violated",
	"23505": "duplicate key value violates unique constraint",
	"23514": "check constraint violated",
	"23P01": "exclusion constraint violated",
	"25006": "cannot write in a read-only transaction",
	"25P02": "current transaction is aborted, commands ignored until end of transaction block",
	"40001": "could not serialize access, try again",
	"40P01": "deadlock detected",
	"42501": "permission denied",
	"42601": "syntax error",
	"42702": "column reference is ambiguous",
	"42703": "column does not exist",
	"42704": "object does not exist",
	"42725": "function is not unique",
	"42804": "types do not match",
	"42883": "function or operator does not exist",
	"42P01": "relation does not exist",
	"42P07": "relation already exists",
	"44000": "new row violates the view's check option",
	"53100": "the server's disk is full",
	"53200": "the server is out of memory",
	"53300": "too many connections",
	"54000": "a limit of the server was exceeded",
	"55P03": "could not obtain lock",
	"57014": "canceling statement as asked, or because of a timeout",
	"57P01": "terminating connection due to administrator command",
	"P0001": "an exception was raised by a function",
	"P0002": "query returned no rows",
	"P0003": "query returned more than one row",
	"P0004": "assertion failed",
}

var classTemplates = map[string]string{
	"00": "the server sent a notice",
	"01": "a warning was raised",
	"02": "no data",
	"08": "connection problem",
	"0A": "feature not supported",
	"21": "cardinality violation",
	"22": "invalid data",
	"23": "integrity constraint violated",
	"25": "not possible in this state of the transaction",
	"28": "not authorized",
	"2B": "other objects still depend on it",
	"34": "cursor does not exist",
	"38": "an external routine reported a problem",
	"39": "an external routine was called wrongly",
	"3F": "schema does not exist",
	"40": "transaction rolled back",
	"42": "syntax error or access rule violation",
	"53": "the server lacks resources",
	"54": "a limit of the server was exceeded",
	"55": "object not in the state that this needs",
	"57": "the server's operator intervened",
	"58": "system error",
	"P0": "a function reported a problem",
	"XX": "internal error of the server",
}

// EgressName makes the name of a result column, or another identifier that leaves,
// fit to do so: dynamic names can be made of values.
func EgressName(name string) string {
	if !strings.ContainsAny(name, "@0123456789") {
		return name
	}
	s, _ := ScanText(name)
	return s
}
