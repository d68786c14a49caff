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
	if len(line) > maxEventBytes {
		return Event{}, fmt.Errorf("%w: %d bytes is longer than any event", errLine, len(line))
	}
	seq, err := lineSeq(line)
	if err != nil {
		return Event{}, err
	}
	if ev, ok := decodeOwn(string(line)); ok {
		return ev, nil
	}
	var ev Event
	if err := json.Unmarshal(line, &ev); err != nil {
		return Event{}, fmt.Errorf("%w: %w", errLine, err)
	}
	// JSON allows a key twice, the last one counting. Nothing honest writes that.
	if ev.Seq != seq {
		return Event{}, fmt.Errorf("%w: it gives two sequence numbers", errLine)
	}
	return ev, nil
}

// decodeOwn reads a line as appendBody writes it: no space, each key at most once, in
// the order of Event. ok is false for any other, which may be an event all the same. It
// is here because every question, and the index, reads all that was ever written; the
// texts of the event share the memory of line.
func decodeOwn(line string) (ev Event, ok bool) {
	r := ownReader{rest: line}
	r.expect(`{"seq":`)
	ev.Seq = uint64(r.number())
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
	return ev, !r.wrong && r.rest == "}"
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

// number takes digits, with a sign, that fit 63 bits.
func (r *ownReader) number() int64 {
	end := 0
	for end < len(r.rest) && (r.rest[end] >= '0' && r.rest[end] <= '9' || end == 0 && r.rest[0] == '-') {
		end++
	}
	n, err := strconv.ParseInt(r.rest[:end], 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != r.rest[:end] {
		r.wrong = true
	}
	r.rest = r.rest[end:]
	return n
}

// time takes a time in quotes, in the one form that is written.
func (r *ownReader) time() time.Time {
	const n = len(timeFormat) + 2
	if len(r.rest) < n {
		r.wrong = true
		return time.Time{}
	}
	t, err := time.Parse(`"`+timeFormat+`"`, r.rest[:n])
	r.wrong = r.wrong || err != nil
	r.rest = r.rest[n:]
	return t
}

// text takes a text in quotes. Without escapes it is the bytes that stand there.
func (r *ownReader) text() string {
	if r.rest == "" || r.rest[0] != '"' {
		r.wrong = true
		return ""
	}
	s := r.rest[1:]
	end := strings.IndexAny(s, `"\`)
	if end < 0 || !plain(s[:end]) {
		r.wrong = true
		return ""
	}
	if s[end] == '"' {
		r.rest = s[end+1:]
		return s[:end]
	}
	return r.escaped(s, end)
}

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
