package gateway

import (
	"strings"
	"sync"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// Literals says what the record keeps of constants and parameters that are compared with
// columns of personal data, or written into them.
type Literals struct {
	Mode string // KeepLiterals if empty
	Key  []byte // of pseudonyms
}

// What is kept of such a value.
const (
	KeepLiterals         = "keep"         // as it is
	PseudonymiseLiterals = "pseudonymise" // audit.Pseudonym: who has the key can ask for a value
	DropLiterals         = "drop"         // nothing
)

const dropped = "•••"

// stands is what stands in the record in place of a value.
func (l Literals) stands(value string) string {
	if l.Mode == DropLiterals {
		return dropped
	}
	return audit.Pseudonym(l.Key, value)
}

// veil says which constants and parameters of a statement tell of a person. It is of all
// texts that differ in constants only.
type veil struct {
	all               bool // which ones do cannot be told
	bodies            bool // constants may be texts of programs, whose own constants do
	constants, params []bool
}

func (w *veil) constant(n int) bool { return w.all || n < len(w.constants) && w.constants[n] }
func (w *veil) param(n int) bool    { return w.all || n < len(w.params) && w.params[n] }

// hides is the veil of a statement, worked out when it is first needed.
type hides struct {
	once sync.Once
	veil *veil // nil if nothing has to be hidden
}

func (a *about) veil(v view, x *run) *veil {
	a.hides.once.Do(func() { a.hides.veil = newVeil(v, x) })
	return a.hides.veil
}

func newVeil(v view, x *run) *veil {
	switch x.text.Kind {
	case query.Set, query.Show, query.Transaction, query.Deallocate, query.Close, query.Fetch, query.Listen, query.Empty:
		return nil
	}
	known, personal := map[string]bool{}, map[string]bool{}
	doubt := false
	for st := x.means; st != nil; st = st.Inner {
		doubt = doubt || st.Partial || st.Kind == query.Unknown || st.Kind == query.FunctionCall
		see := func(ref query.Ref) {
			known[ref.Column] = true
			if ref.Column == "" && len(v.columns(ref)) > 0 {
				return // its columns are there by themselves, if they are read
			}
			if v.people(ref) && v.personal(ref) {
				personal[ref.Column] = true
			}
		}
		for _, ref := range st.Reads {
			see(ref)
		}
		for _, p := range st.Puts {
			see(p.Into)
		}
	}
	if !doubt && len(personal) == 0 {
		return nil
	}
	w := &veil{bodies: doubt || x.text.Kind == query.Do || x.text.Kind == query.DDL}
	m, ok := query.Values(x.text.SQL, v.schema)
	if w.all = doubt || !ok || x.text.Kind == query.Do; w.all {
		return w
	}
	tells := func(names []string) bool {
		for _, n := range names {
			// A name that is no column of a table stands for one, somewhere.
			if n == query.AnyColumn || personal[n] || !known[n] {
				return true
			}
		}
		return false
	}
	for _, names := range m.Constants {
		w.constants = append(w.constants, tells(names))
	}
	for _, names := range m.Params {
		w.params = append(w.params, tells(names))
	}
	return w
}

// veiled is a value and what stands for it.
type veiled struct{ value, stands string }

// Bounds of what is looked for in an error: a shorter value is in every text.
const (
	minVeiled = 3
	maxVeiled = 64
)

// maxRecorded is how much of a text the record keeps, whatever its hash is of.
const maxRecorded = 64 << 10

// keep puts into ev what the record keeps of a statement's text and parameters.
func (s *session) written(ev *audit.Event, x *run, v view, req *wire.Request, params []string) {
	l := s.g.cfg.Literals
	ev.SQL, ev.Params = x.kept, params
	if l.Mode == "" || l.Mode == KeepLiterals {
		return
	}
	w := x.about.veil(v, x)
	if w == nil {
		return
	}
	note := func(value, stands string) {
		if len(value) >= minVeiled && len(x.veiled) < maxVeiled {
			x.veiled = append(x.veiled, veiled{value, stands})
		}
	}
	text := x.kept
	if len(text) > maxRecorded { // the rest is not kept, so it need not be read
		text = cutText(text, maxRecorded)
	}
	out, cut := l.hideText(text, w, note)
	if len(x.veiled) > 0 { // what is hidden in one place is hidden in all
		out, _ = query.ReplaceConstants(out, func(_ int, text string) (string, bool) {
			if value, hidden := x.standsFor(valueOf(text)); hidden {
				return "'" + value + "'", true
			}
			return "", false
		})
	}
	if len(x.kept) > maxRecorded || len(out) > maxRecorded {
		ev.SQLHash, cut = hashText(x.kept), true
		out = cutText(out, maxRecorded)
	}
	ev.SQL = out
	x.vague = cut
	if cut {
		ev.Cut = append(ev.Cut, "sql")
	}
	ev.Params = nil
	for i, p := range params {
		if w.param(i) && req.Params[i].Value != nil {
			p = l.hideValue(p, note)
		} else if stands, ok := x.standsFor(p); ok {
			p = stands
		}
		ev.Params = append(ev.Params, p)
	}
}

// hideText replaces constants of a text.
func (l Literals) hideText(sql string, w *veil, note func(value, stands string)) (out string, cut bool) {
	return query.ReplaceConstants(sql, func(n int, text string) (string, bool) {
		if !w.constant(n) {
			return "", false
		}
		if w.bodies && strings.HasPrefix(text, "$") {
			if tag := strings.IndexByte(text[1:], '$') + 2; tag > 1 && len(text) >= 2*tag {
				inner, _ := l.hideText(text[tag:len(text)-tag], &veil{all: true, bodies: true}, note)
				return text[:tag] + inner + text[len(text)-tag:], true
			}
		}
		value := valueOf(text)
		if value == "" {
			return "", false
		}
		return "'" + l.hideValue(value, note) + "'", true
	})
}

// valueOf is the value of a constant.
func valueOf(text string) string {
	if texts := query.Constants(text); len(texts) == 1 {
		return texts[0]
	}
	return text
}

// standsFor says what stands for a value that is hidden elsewhere in the statement.
func (x *run) standsFor(value string) (string, bool) {
	for _, v := range x.veiled {
		if v.value == value {
			return v.stands, true
		}
	}
	return "", false
}

// hideValue gives what stands for a value. Of an array of PostgreSQL each element is one.
func (l Literals) hideValue(value string, note func(value, stands string)) string {
	if value == "" {
		return ""
	}
	if list, ok := elements(value); ok {
		for i, v := range list {
			list[i] = l.hideValue(v, note)
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	stands := l.stands(value)
	note(value, stands)
	return stands
}

// elements reads the text of a one-dimensional array; a JSON object is none.
func elements(s string) (list []string, ok bool) {
	if len(s) < 3 || s[0] != '{' || s[len(s)-1] != '}' {
		return nil, false
	}
	var b strings.Builder
	quoted := false
	body := s[1 : len(s)-1]
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '\\' && i+1 < len(body):
			i++
			b.WriteByte(body[i])
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '}' || c == ':'):
			return nil, false
		case !quoted && c == ',':
			list = append(list, b.String())
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	return append(list, b.String()), !quoted
}

// unsaid takes out of a message what the record does not keep of the statement.
func (x *run) unsaid(message string) string {
	for _, v := range x.veiled {
		message = strings.ReplaceAll(message, v.value, v.stands)
	}
	if x.vague { // what it quotes may be any part of the text
		if first, _, quotes := strings.Cut(message, `"`); quotes {
			message = first + `"` + dropped + `"`
		}
	}
	return message
}

// unread is a text of which nobody knows what its constants meet, as the record keeps it.
func (g *Gateway) unread(sql string) string {
	l := g.cfg.Literals
	if sql == "" || l.Mode == "" || l.Mode == KeepLiterals {
		return sql
	}
	out, _ := l.hideText(cutText(sql, maxRecorded), &veil{all: true, bodies: true}, func(string, string) {})
	return out
}

// AskAbout makes of a question about a value one about its pseudonym, so that neither the
// record of the question nor anything else holds the value.
func AskAbout(in api.AuditQuery, l Literals) (api.AuditQuery, error) {
	if in.About == "" {
		return in, nil
	}
	no := func(sentence, hint string) (api.AuditQuery, error) {
		return in, &api.Error{Sentence: sentence, Hint: hint, Code: api.CodeUsage}
	}
	switch {
	case in.Text != "":
		return no("a question is about a value or a text, not both", "leave --text or --about out")
	case l.Mode == DropLiterals:
		return no("this record does not keep values of personal columns", "record.literals says so; ask by --column and --who")
	case l.Mode != PseudonymiseLiterals || len(l.Key) == 0:
		return no("this record keeps values as they are, not as pseudonyms", "ask with --text")
	}
	in.About, in.Text = "", audit.Pseudonym(l.Key, in.About)
	return in, nil
}
