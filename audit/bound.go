package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"
)

// Every event has a largest size, known before it is written, so that nothing
// that reads the record (this package, a sink, another team's verifier) ever
// meets an entry it must drop.
const (
	// maxEventBytes bounds one line. Collectors commonly refuse messages over
	// 256 KiB, and a reader can keep a whole line in memory.
	maxEventBytes = 256 << 10
	// maxSQLBytes is generous for statements that people write; generated ones
	// beyond it are identified by their hash.
	maxSQLBytes = 64 << 10
	// maxParamBytes, maxParams: a statement has at most 65,535 parameters of up
	// to 1 GiB each, of which the first tell what was asked for.
	maxParamBytes = 4 << 10
	maxParams     = 256
	// maxParamsBytes bounds all parameters of an event together.
	maxParamsBytes = 64 << 10
	// maxTextBytes bounds a message, maxNameBytes a name. PostgreSQL's own names
	// end at 63 bytes; certificate subjects and claims may be longer.
	maxTextBytes = 8 << 10
	maxNameBytes = 1 << 10
	// maxListBytes bounds a list of names: 1,600 columns, PostgreSQL's limit for
	// a table, of 40 bytes each.
	maxListBytes = 64 << 10
)

// limits of one attempt to fit an event into maxEventBytes.
type limits struct {
	sql, param, params, text, name, list int
}

var fullLimits = limits{
	sql: maxSQLBytes, param: maxParamBytes, params: maxParamsBytes,
	text: maxTextBytes, name: maxNameBytes, list: maxListBytes,
}

func (l limits) halved() limits {
	return limits{l.sql / 2, l.param / 2, l.params / 2, l.text / 2, l.name / 2, l.list / 2}
}

// encode makes body the JSON of ev after its ID, cut to fit. JSON escapes
// make up to six bytes of one, so the limits on the raw text do not bound the
// line: when it is still too long, everything is cut harder and encoded again.
func (w *scratch) encode(ev *Event) error {
	if y := ev.Time.Year(); y < 0 || y > 9999 {
		return fmt.Errorf("record an event of the year %d: outside 0 to 9999", y)
	}
	for lim := fullLimits; lim.text > 0; lim = lim.halved() {
		w.fit = *ev
		lim.apply(&w.fit)
		w.body = appendBody(w.body[:0], &w.fit)
		// The room kept is for the sequence number and the ID ahead of the body.
		if len(w.body) <= maxEventBytes-headRoom {
			return nil
		}
	}
	return fmt.Errorf("record an event of kind %q: it does not fit into %d bytes", ev.Kind, maxEventBytes)
}

// apply cuts ev to l, and says in ev which fields were cut.
func (l limits) apply(ev *Event) {
	if len(ev.SQL) > l.sql {
		// The hash is of the whole text, so that the statement can be proven by
		// whoever still has it.
		sum := sha256.Sum256([]byte(ev.SQL))
		ev.SQLHash = hex.EncodeToString(sum[:])
		ev.SQL = cutText(ev.SQL, l.sql)
		ev.Cut = addCut(ev.Cut, "sql")
	}
	if params, cut := cutList(ev.Params, l.param, maxParams, l.params); cut {
		ev.Params, ev.ParamsCut = params, true
		ev.Cut = addCut(ev.Cut, "params")
	}
	for _, f := range [...]struct {
		name  string
		s     *string
		limit int
	}{
		{"error", &ev.Error, l.text}, {"reason", &ev.Reason, l.text}, {"detail", &ev.Detail, l.text},
		{"kind", (*string)(&ev.Kind), l.name}, {"session", &ev.Session, l.name}, {"of", &ev.Of, l.name},
		{"who", &ev.Who, l.name}, {"subject", &ev.Subject, l.name}, {"caller_kind", &ev.CallerKind, l.name},
		{"owner", &ev.Owner, l.name}, {"from", &ev.From, l.name}, {"connection", &ev.Connection, l.name},
		{"role", &ev.Role, l.name}, {"application", &ev.Client, l.name}, {"sql_hash", &ev.SQLHash, l.name},
		{"fingerprint", &ev.Fingerprint, l.name}, {"statement", &ev.Statement, l.name},
		{"effect", &ev.Effect, l.name}, {"rule", &ev.Rule, l.name}, {"outcome", &ev.Outcome, l.name},
		{"error_code", &ev.ErrorCode, l.name}, {"credential", &ev.Credential, l.name}, {"purpose", &ev.Purpose, l.name},
		{"runbook", &ev.Runbook, l.name}, {"runbook_hash", &ev.RunbookHash, l.name}, {"runbook_run", &ev.RunbookRun, l.name}, {"runbook_step", &ev.RunbookStep, l.name},
		{"command", &ev.Command, l.name}, {"run", &ev.Run, l.name}, {"job", &ev.Job, l.name},
		{"parent", &ev.Parent, l.name}, {"database", &ev.Database, l.name}, {"key", &ev.Key, l.name},
	} {
		if len(*f.s) > f.limit {
			*f.s = cutText(*f.s, f.limit)
			ev.Cut = addCut(ev.Cut, f.name)
		}
	}
	for _, f := range [...]struct {
		name string
		list *[]string
	}{
		{"groups", &ev.Groups}, {"signs", &ev.Signs}, {"reads", &ev.Reads}, {"writes", &ev.Writes},
		{"approvers", &ev.Approvers}, {"masked_cols", &ev.MaskedCols}, {"claims", &ev.Claims}, {"personal", &ev.Personal},
		{"flows", &ev.Flows}, {"inputs", &ev.Inputs}, {"outputs", &ev.Outputs}, {"facts", &ev.Facts},
	} {
		if list, cut := cutList(*f.list, l.name, l.list, l.list); cut {
			*f.list = list
			ev.Cut = addCut(ev.Cut, f.name)
		}
	}
}

// cutList gives list with each text cut to each bytes, at most n of them, and
// at most total bytes in all. It copies only when something has to go.
func cutList(list []string, each, n, total int) ([]string, bool) {
	// Every element takes at least its quotes and comma in the line.
	const perElement = 3
	size, fits := 0, len(list) <= n
	for _, s := range list {
		size += len(s) + perElement
		fits = fits && len(s) <= each
	}
	if fits && size <= total {
		return list, false
	}
	var out []string
	size = 0
	for _, s := range list {
		s = cutText(s, each)
		size += len(s) + perElement
		if len(out) == n || size > total {
			break
		}
		out = append(out, s)
	}
	return out, true
}

// cutText gives at most n bytes of s, ending at the end of a rune.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// addCut copies: the event belongs to the caller.
func addCut(cut []string, name string) []string {
	return append(cut[:len(cut):len(cut)], name)
}
