package audit

import (
	"strconv"
	"unicode/utf8"
)

// timeFormat is how a line gives a time: UTC, always with six decimals, so that
// equal times have equal bytes.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// headRoom is more than appendHead can append.
const headRoom = 128

// appendHead appends what only the log knows: the place of the event in it. It
// is apart from the body so that the body, which is nearly all of the work, is
// encoded outside of any lock.
func appendHead(b []byte, seq uint64, idPrefix string) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"id":"`...)
	b = append(b, idPrefix...)
	b = strconv.AppendUint(b, seq, 10)
	return append(b, '"')
}

// appendBody appends the rest of the object in the order of the fields of
// Event. Written by hand because it lies on the path of every statement.
func appendBody(b []byte, ev *Event) []byte {
	b = append(b, `,"time":"`...)
	b = ev.Time.UTC().AppendFormat(b, timeFormat)
	b = append(b, `","kind":`...)
	b = AppendString(b, string(ev.Kind))
	b = appendText(b, "session", ev.Session)
	b = appendText(b, "of", ev.Of)
	b = appendText(b, "who", ev.Who)
	b = appendText(b, "subject", ev.Subject)
	b = appendText(b, "caller_kind", ev.CallerKind)
	b = appendText(b, "owner", ev.Owner)
	b = appendList(b, "groups", ev.Groups)
	b = appendText(b, "from", ev.From)
	b = appendText(b, "connection", ev.Connection)
	b = appendText(b, "role", ev.Role)
	b = appendText(b, "application", ev.Client)
	b = appendText(b, "credential", ev.Credential)
	b = appendList(b, "claims", ev.Claims)
	b = appendText(b, "purpose", ev.Purpose)
	b = appendText(b, "sql", ev.SQL)
	b = appendText(b, "sql_hash", ev.SQLHash)
	b = appendList(b, "params", ev.Params)
	b = appendText(b, "fingerprint", ev.Fingerprint)
	b = appendText(b, "statement", ev.Statement)
	b = appendList(b, "signs", ev.Signs)
	b = appendList(b, "reads", ev.Reads)
	b = appendList(b, "writes", ev.Writes)
	b = appendList(b, "personal", ev.Personal)
	b = appendText(b, "effect", ev.Effect)
	b = appendText(b, "rule", ev.Rule)
	b = appendText(b, "reason", ev.Reason)
	b = appendList(b, "approvers", ev.Approvers)
	b = appendText(b, "outcome", ev.Outcome)
	b = appendText(b, "error_code", ev.ErrorCode)
	b = appendText(b, "error", ev.Error)
	b = appendNumber(b, "rows", ev.Rows)
	b = appendNumber(b, "bytes", ev.Bytes)
	b = appendNumber(b, "masked", ev.Masked)
	b = appendList(b, "masked_cols", ev.MaskedCols)
	b = appendNumber(b, "duration_us", ev.DurationUS)
	if ev.ParamsCut {
		b = append(b, `,"params_cut":true`...)
	}
	b = appendList(b, "cut", ev.Cut)
	b = appendNumber(b, "kept_from", ev.KeptFrom)
	b = appendText(b, "detail", ev.Detail)
	b = appendText(b, "runbook", ev.Runbook)
	b = appendText(b, "runbook_hash", ev.RunbookHash)
	b = appendText(b, "runbook_run", ev.RunbookRun)
	b = appendText(b, "runbook_step", ev.RunbookStep)
	b = appendText(b, "command", ev.Command)
	b = appendList(b, "flows", ev.Flows)
	b = appendText(b, "run", ev.Run)
	b = appendText(b, "job", ev.Job)
	b = appendText(b, "parent", ev.Parent)
	b = appendList(b, "inputs", ev.Inputs)
	b = appendList(b, "outputs", ev.Outputs)
	b = appendList(b, "facts", ev.Facts)
	b = appendText(b, "database", ev.Database)
	b = appendText(b, "key", ev.Key)
	return append(b, '}')
}

func appendKey(b []byte, key string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendText(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return AppendString(appendKey(b, key), s)
}

func appendNumber(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), n, 10)
}

func appendList(b []byte, key string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(appendKey(b, key), '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, s)
	}
	return append(b, ']')
}

// AppendString appends s as a JSON string. A line break never stays one, so a
// text cannot pose as another entry. Bytes that are no UTF-8 become U+FFFD.
func AppendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[from:i]...)
				b = append(b, "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}
