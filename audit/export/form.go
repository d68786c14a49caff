package export

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// Formats are what entries can be handed on as.
var Formats = []string{"json", "ocsf", "cef", "otlp"}

// form makes a message of an entry, and appends it to b.
type form interface {
	message(b []byte, ev *audit.Event, line []byte) []byte
	join(list []message) (body []byte, contentType string)
}

func newForm(cfg Config) (form, *source, error) {
	about := &source{version: cfg.Version}
	var err error
	if about.host, err = os.Hostname(); err != nil {
		about.host = "-"
	}
	switch cfg.Format {
	case "ocsf":
		return ocsf{about}, about, nil
	case "cef":
		return cef{about}, about, nil
	case "otlp":
		return otlp{about}, about, nil
	}
	return plain{}, about, nil
}

// source is where entries come from.
type source struct{ origin, host, version string }

// plain is an entry as it stands in the record.
type plain struct{}

func (plain) message(b []byte, _ *audit.Event, line []byte) []byte { return append(b, line...) }

func (plain) join(list []message) ([]byte, string) { return lines(list), "application/x-ndjson" }

// lines are messages, each with a line break.
func lines(list []message) []byte {
	n := len(list)
	for i := range list {
		n += len(list[i].body)
	}
	b := make([]byte, 0, n)
	for i := range list {
		b = append(append(b, list[i].body...), '\n')
	}
	return b
}

// grave says how much a person should care: 0 for what is ordinary, 1 for changes of who
// may do what, 2 for what was refused or went wrong, 3 for what went past the usual
// safeguards.
func grave(ev *audit.Event) int {
	switch {
	case strings.Contains(ev.Detail, "break-glass"):
		return 3
	case ev.Effect == "deny", ev.Outcome == "refused", ev.Outcome == "lost":
		return 2
	case ev.Kind == audit.Admin, ev.Kind == audit.Rights, ev.Effect == "hold", ev.Outcome == "error":
		return 1
	}
	return 0
}

// said is a line for people.
func said(ev *audit.Event) string {
	who := ev.Who
	if who == "" {
		who = "the gateway"
	}
	on := ""
	if ev.Connection != "" {
		on = " on " + ev.Connection
	}
	switch ev.Kind {
	case audit.Decided:
		return who + ": " + cmpOr(ev.Statement, "statement") + on + ": " + decision(ev.Effect)
	case audit.Finished:
		return who + ": " + cmpOr(ev.Statement, "statement") + on + " ended: " + ev.Outcome + ", " + strconv.FormatInt(ev.Rows, 10) + " rows"
	case audit.Connected:
		return who + ": session" + on + ": " + ev.Outcome
	case audit.Closed:
		return who + ": session ended" + on
	case audit.LoggedIn:
		return who + ": login: " + ev.Outcome
	}
	if ev.Detail != "" {
		return who + ": " + string(ev.Kind) + on + ": " + ev.Detail
	}
	return who + ": " + string(ev.Kind) + on
}

// decision is an effect in words.
func decision(effect string) string {
	switch effect {
	case "allow":
		return "allowed"
	case "hold":
		return "held for approval"
	case "deny":
		return "refused"
	}
	return ""
}

func cmpOr(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

// address takes apart where a caller came from.
func address(from string) (ip string, port int) {
	host, p, err := net.SplitHostPort(from)
	if err != nil {
		host = from
	}
	host, _, _ = strings.Cut(host, "%")
	if net.ParseIP(host) == nil {
		return "", 0
	}
	port, _ = strconv.Atoi(p) // 0 if there is none
	return host, port
}

// tables are the relations that an event is about.
func tables(ev *audit.Event) (out []string) {
	for _, ref := range slices.Concat(ev.Writes, ev.Reads) {
		if r := audit.Relation(ref); !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}
