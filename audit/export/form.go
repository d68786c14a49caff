package export

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// Formats are what entries can be handed on as.
var Formats = []string{"json", "ocsf", "cef", "otlp"}

// form makes a message of an entry.
type form interface {
	message(ev *audit.Event, line []byte) ([]byte, error)
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

func (plain) message(_ *audit.Event, line []byte) ([]byte, error) { return bytes.Clone(line), nil }

func (plain) join(list []message) ([]byte, string) { return lines(list), "application/x-ndjson" }

// lines are messages, each with a line break.
func lines(list []message) []byte {
	var b bytes.Buffer
	for _, m := range list {
		b.Write(m.body)
		b.WriteByte('\n')
	}
	return b.Bytes()
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
		return fmt.Sprintf("%s: %s%s: %s", who, cmpOr(ev.Statement, "statement"), on, map[string]string{"allow": "allowed", "hold": "held for approval", "deny": "refused"}[ev.Effect])
	case audit.Finished:
		return fmt.Sprintf("%s: %s%s ended: %s, %d rows", who, cmpOr(ev.Statement, "statement"), on, ev.Outcome, ev.Rows)
	case audit.Connected:
		return fmt.Sprintf("%s: session%s: %s", who, on, ev.Outcome)
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
