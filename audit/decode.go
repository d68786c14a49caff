package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var errLine = errors.New("not an event line")

// lineSeq reads the sequence number that a line claims. It looks at the head
// only: that the rest is what was written is for the tree to say.
func lineSeq(line []byte) (uint64, error) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	if !ok {
		return 0, errLine
	}
	n := bytes.IndexByte(rest, ',')
	if n < 1 || n > 20 || rest[0] == '0' && n > 1 {
		return 0, errLine
	}
	var seq uint64
	for _, c := range rest[:n] {
		if c < '0' || c > '9' {
			return 0, errLine
		}
		next := seq*10 + uint64(c-'0')
		if next/10 != seq {
			return 0, errLine
		}
		seq = next
	}
	return seq, nil
}

// decodeLine reads a whole line, without its line break. Fields it does not
// know are passed over: a later version may have written them.
func decodeLine(line []byte) (Event, error) {
	var ev Event
	if err := DecodeTo(line, &ev); err != nil {
		return Event{}, err
	}
	return ev, nil
}

// decodeText is decodeLine of a text, whose memory the event shares, into an event.
func decodeText(line string, ev *Event) error {
	if decodeOwn(line, ev) {
		return nil
	}
	seq, err := lineSeq([]byte(line))
	if err != nil {
		return err
	}
	*ev = Event{}
	if err := json.Unmarshal([]byte(line), ev); err != nil {
		return fmt.Errorf("%w: %w", errLine, err)
	}
	// JSON allows a key twice, the last one counting. Nothing honest writes that.
	if ev.Seq != seq {
		return fmt.Errorf("%w: it gives two sequence numbers", errLine)
	}
	return nil
}

// decodeOwn reads a line as appendBody writes it: no space, each key at most once, in
// the order of Event. It gives false for any other, which may be an event all the same. It
// is here because every question, and the index, reads all that was ever written; the
// texts of the event share the memory of line.
func decodeOwn(line string, ev *Event) bool {
	*ev = Event{}
	r := ownReader{rest: line}
	r.expect(`{"seq":`)
	seq := r.number()
	r.wrong = r.wrong || seq < 0
	ev.Seq = uint64(seq)
	r.expect(`,"id":`)
	ev.ID = r.text()
	r.expect(`,"time":`)
	ev.Time = r.time()
	r.expect(`,"kind":`)
	ev.Kind = Kind(r.text())
	r.textOf("session", &ev.Session)
	r.textOf("of", &ev.Of)
	r.textOf("who", &ev.Who)
	r.textOf("subject", &ev.Subject)
	r.textOf("caller_kind", &ev.CallerKind)
	r.textOf("owner", &ev.Owner)
	r.listOf("groups", &ev.Groups)
	r.textOf("from", &ev.From)
	r.textOf("connection", &ev.Connection)
	r.textOf("role", &ev.Role)
	r.textOf("application", &ev.Client)
	r.textOf("credential", &ev.Credential)
	r.listOf("claims", &ev.Claims)
	r.textOf("purpose", &ev.Purpose)
	r.textOf("sql", &ev.SQL)
	r.textOf("sql_hash", &ev.SQLHash)
	r.listOf("params", &ev.Params)
	r.textOf("fingerprint", &ev.Fingerprint)
	r.textOf("statement", &ev.Statement)
	r.listOf("signs", &ev.Signs)
	r.listOf("reads", &ev.Reads)
	r.listOf("writes", &ev.Writes)
	r.listOf("personal", &ev.Personal)
	r.textOf("effect", &ev.Effect)
	r.textOf("rule", &ev.Rule)
	r.textOf("reason", &ev.Reason)
	r.listOf("approvers", &ev.Approvers)
	r.textOf("outcome", &ev.Outcome)
	r.textOf("error_code", &ev.ErrorCode)
	r.textOf("error", &ev.Error)
	r.numberOf("rows", &ev.Rows)
	r.numberOf("bytes", &ev.Bytes)
	r.numberOf("masked", &ev.Masked)
	r.listOf("masked_cols", &ev.MaskedCols)
	r.numberOf("duration_us", &ev.DurationUS)
	if r.key("params_cut") {
		r.expect("true")
		ev.ParamsCut = true
	}
	r.listOf("cut", &ev.Cut)
	r.numberOf("kept_from", &ev.KeptFrom)
	r.textOf("detail", &ev.Detail)
	r.textOf("runbook", &ev.Runbook)
	r.textOf("runbook_hash", &ev.RunbookHash)
	r.textOf("runbook_run", &ev.RunbookRun)
	r.textOf("runbook_step", &ev.RunbookStep)
	r.textOf("command", &ev.Command)
	r.listOf("flows", &ev.Flows)
	r.textOf("run", &ev.Run)
	r.textOf("job", &ev.Job)
	r.textOf("parent", &ev.Parent)
	r.listOf("inputs", &ev.Inputs)
	r.listOf("outputs", &ev.Outputs)
	r.listOf("facts", &ev.Facts)
	r.textOf("database", &ev.Database)
	r.textOf("key", &ev.Key)
	return !r.wrong && r.rest == "}"
}

// ownReader takes a line apart. After the first thing that is not as expected it is
// wrong, and answers with nothing.
type ownReader struct {
	rest  string
	wrong bool
}

func (r *ownReader) expect(s string) {
	rest, ok := strings.CutPrefix(r.rest, s)
	r.rest, r.wrong = rest, r.wrong || !ok
}

// key takes `,"name":` if that comes next.
func (r *ownReader) key(name string) bool {
	n := len(name)
	if len(r.rest) < n+4 || r.rest[:2] != `,"` || r.rest[2:2+n] != name || r.rest[2+n:4+n] != `":` {
		return false
	}
	r.rest = r.rest[n+4:]
	return true
}

func (r *ownReader) textOf(name string, to *string) {
	if r.key(name) {
		*to = r.text()
	}
}

func (r *ownReader) numberOf(name string, to *int64) {
	if r.key(name) {
		*to = r.number()
	}
}

func (r *ownReader) listOf(name string, to *[]string) {
	if !r.key(name) {
		return
	}
	r.expect("[")
	for list := make([]string, 0, 4); !r.wrong; {
		list = append(list, r.text())
		if rest, more := strings.CutPrefix(r.rest, ","); more {
			r.rest = rest
			continue
		}
		r.expect("]")
		*to = list
		return
	}
}

// number takes digits, with a sign, that fit 63 bits, in the one form that is written.
func (r *ownReader) number() int64 {
	digits, end := 0, 0
	if strings.HasPrefix(r.rest, "-") {
		digits, end = 1, 1
	}
	for end < len(r.rest) && r.rest[end] >= '0' && r.rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(r.rest[:end], 10, 64)
	if err != nil || r.rest[digits] == '0' && end > 1 {
		r.wrong = true
	}
	r.rest = r.rest[end:]
	return n
}

// time takes a time in quotes, in the one form that is written: `"2006-01-02T15:04:05.000000Z"`.
func (r *ownReader) time() time.Time {
	const n = len(timeFormat) + 2
	if len(r.rest) < n {
		r.wrong = true
		return time.Time{}
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	pair := func(i int) int {
		tens, ones := s[i]-'0', s[i+1]-'0'
		r.wrong = r.wrong || tens > 9 || ones > 9
		return int(tens)*10 + int(ones)
	}
	for i, c := range []byte{0: '"', 5: '-', 8: '-', 11: 'T', 14: ':', 17: ':', 20: '.', 27: 'Z', 28: '"'} {
		r.wrong = r.wrong || c != 0 && s[i] != c
	}
	month, day, hour, minute, second := pair(6), pair(9), pair(12), pair(15), pair(18)
	micros := pair(21)*10_000 + pair(23)*100 + pair(25)
	t := time.Date(pair(1)*100+pair(3), time.Month(month), day, hour, minute, second, micros*1000, time.UTC)
	// Times that there are not become others.
	r.wrong = r.wrong || month > 12 || month < 1 || t.Day() != day || hour > 23 || minute > 59 || second > 59
	return t
}

// text takes a text in quotes. Without escapes it is the bytes that stand there.
func (r *ownReader) text() string {
	if r.rest == "" || r.rest[0] != '"' {
		r.wrong = true
		return ""
	}
	s := r.rest[1:]
	end := 0
	for end < len(s) && asItIs[s[end]] {
		end++
	}
	if end < len(s) && s[end] == '"' {
		r.rest = s[end+1:]
		return s[:end]
	}
	if end = strings.IndexAny(s, `"\`); end < 0 || !plain(s[:end]) {
		r.wrong = true
		return ""
	}
	if s[end] == '"' {
		r.rest = s[end+1:]
		return s[:end]
	}
	return r.escaped(s, end)
}

// asItIs are the bytes that stand in a line for themselves, and need no second look.
var asItIs = func() (is [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// escaped is text whose first escape is at a place of s.
func (r *ownReader) escaped(s string, at int) string {
	out := make([]byte, 0, len(s[:at])+64)
	for {
		out = append(out, s[:at]...)
		s = s[at:]
		if s[0] == '"' {
			r.rest = s[1:]
			return string(out)
		}
		if len(s) < 2 {
			break
		}
		n := 2
		switch s[1] {
		case '"', '\\':
			out = append(out, s[1])
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			n = 6
			if len(s) < n {
				r.wrong = true
				return ""
			}
			c, err := strconv.ParseUint(s[2:6], 16, 16)
			if err != nil || c >= ' ' {
				r.wrong = true // no other is written so
				return ""
			}
			out = append(out, byte(c))
		default:
			r.wrong = true
			return ""
		}
		s = s[n:]
		if at = strings.IndexAny(s, `"\`); at < 0 || !plain(s[:at]) {
			break
		}
	}
	r.wrong = true
	return ""
}

// plain reports whether a part of a text may stand in a line as it is.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ':
			return false
		case c >= utf8.RuneSelf:
			return utf8.ValidString(s)
		}
	}
	return true
}
