package export

import (
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// cef writes entries in ArcSight's Common Event Format, version 0, one line each.
type cef struct{ *source }

func (f cef) join(list []message) ([]byte, string) { return lines(list), "text/plain; charset=utf-8" }

var (
	cefHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\n", " ", "\r", " ")
	cefValue  = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
)

func (f cef) message(b []byte, ev *audit.Event, _ []byte) []byte {
	b = append(b, "CEF:0"...)
	id := string(ev.Kind)
	if ev.Statement != "" {
		id += "." + ev.Statement
	}
	for _, s := range [...]string{"Sluice", "Sluice", cmpOr(f.version, "0"), id, said(ev), [...]string{"1", "3", "6", "9"}[grave(ev)]} {
		b = append(append(b, '|'), cefHeader.Replace(s)...)
	}
	b = append(b, '|')
	first := true
	put := func(key, value string) {
		if value == "" {
			return
		}
		if !first {
			b = append(b, ' ')
		}
		first = false
		b = append(append(append(b, key...), '='), cefValue.Replace(value)...)
	}
	number := func(key string, n int64) {
		if n != 0 {
			put(key, strconv.FormatInt(n, 10))
		}
	}
	custom := func(n, label, value string) {
		if value != "" {
			put("cs"+n+"Label", label)
			put("cs"+n, value)
		}
	}
	put("rt", strconv.FormatInt(ev.Time.UnixMilli(), 10))
	put("externalId", ev.ID)
	put("dvchost", f.host)
	put("deviceExternalId", f.origin)
	put("suser", ev.Who)
	put("suid", ev.Subject)
	put("spriv", ev.CallerKind)
	ip, port := address(ev.From)
	put("src", ip)
	number("spt", int64(port))
	put("sourceServiceName", ev.Client)
	put("destinationServiceName", ev.Connection)
	put("duser", ev.Role)
	put("act", ev.Effect)
	put("outcome", ev.Outcome)
	put("reason", cmpOr(ev.Error, ev.Reason))
	put("request", ev.SQL)
	custom("1", "rule", ev.Rule)
	custom("2", "session", ev.Session)
	custom("3", "belongsTo", ev.Of)
	custom("4", "personal", strings.Join(ev.Personal, ","))
	custom("5", "purpose", ev.Purpose)
	custom("6", "approvers", strings.Join(ev.Approvers, ","))
	if ev.Rows != 0 || ev.Kind == audit.Finished {
		put("cn1Label", "rows")
		put("cn1", strconv.FormatInt(ev.Rows, 10))
	}
	if ev.Masked != 0 {
		put("cn2Label", "masked")
		put("cn2", strconv.FormatInt(ev.Masked, 10))
	}
	number("out", ev.Bytes)
	put("msg", ev.Detail)
	return b
}
