package export

import (
	"slices"
	"strconv"

	"github.com/sluicehq/sluice/audit"
)

// otlp writes entries as log records of OpenTelemetry, in the JSON form of OTLP 1. Names
// of attributes are those of its semantic conventions where these have one, and begin
// with "sluice." where not.
type otlp struct{ *source }

// Levels of OTLP, by how grave an entry is.
var (
	otlpNumbers = [...]int64{9, 10, 13, 17}
	otlpLevels  = [...]string{"INFO", "INFO2", "WARN", "ERROR"}
)

func (f otlp) message(b []byte, ev *audit.Event, _ []byte) []byte {
	o := &object{append(b, '{')}
	at := strconv.FormatInt(ev.Time.UnixNano(), 10)
	o.str("timeUnixNano", at)
	o.str("observedTimeUnixNano", at)
	g := grave(ev)
	o.int("severityNumber", otlpNumbers[g])
	o.str("severityText", otlpLevels[g])
	o.str("eventName", "sluice."+string(ev.Kind))
	o.open("body")
	o.str("stringValue", said(ev))
	o.close()
	o.list("attributes")
	otlpAttributes(o, ev)
	o.endList()
	o.close()
	return o.b
}

// attribute begins an attribute and its value; two objects are open after it.
func (o *object) attribute(key string) {
	o.open("")
	o.str("key", key)
	o.open("value")
}

// textAttribute is an attribute, if it has a value.
func (o *object) textAttribute(key, value string) {
	if value != "" {
		o.attribute(key)
		o.str("stringValue", value)
		o.close()
		o.close()
	}
}

// otlpAttributes are what an entry says beside its text. Numbers of 64 bits are texts.
func otlpAttributes(o *object, ev *audit.Event) {
	text := o.textAttribute
	number := func(key string, n int64) {
		if n != 0 {
			o.attribute(key)
			o.str("intValue", strconv.FormatInt(n, 10))
			o.close()
			o.close()
		}
	}
	texts := func(key string, values []string) {
		if len(values) == 0 {
			return
		}
		o.attribute(key)
		o.open("arrayValue")
		o.list("values")
		for _, v := range values {
			o.open("")
			o.str("stringValue", v)
			o.close()
		}
		o.endList()
		o.close()
		o.close()
		o.close()
	}
	text("log.record.uid", ev.ID)
	text("user.name", ev.Who)
	text("user.id", ev.Subject)
	texts("user.roles", ev.Groups)
	text("session.id", ev.Session)
	ip, port := address(ev.From)
	text("client.address", ip)
	number("client.port", int64(port))
	if ev.Connection != "" {
		text("db.system.name", "postgresql")
		text("db.namespace", ev.Connection)
	}
	text("db.operation.name", ev.Statement)
	text("db.query.text", ev.SQL)
	number("db.response.returned_rows", ev.Rows)
	text("db.response.status_code", ev.ErrorCode)
	text("error.message", ev.Error)
	for _, v := range [...]struct{ key, value string }{
		{"sluice.of", ev.Of}, {"sluice.caller_kind", ev.CallerKind}, {"sluice.owner", ev.Owner}, {"sluice.role", ev.Role},
		{"sluice.application", ev.Client}, {"sluice.purpose", ev.Purpose}, {"sluice.fingerprint", ev.Fingerprint}, {"sluice.effect", ev.Effect},
		{"sluice.rule", ev.Rule}, {"sluice.reason", ev.Reason}, {"sluice.outcome", ev.Outcome}, {"sluice.detail", ev.Detail},
	} {
		text(v.key, v.value)
	}
	texts("sluice.params", ev.Params)
	texts("sluice.signs", ev.Signs)
	texts("sluice.reads", ev.Reads)
	texts("sluice.writes", ev.Writes)
	texts("sluice.personal", ev.Personal)
	texts("sluice.approvers", ev.Approvers)
	number("sluice.seq", int64(ev.Seq))
	number("sluice.bytes", ev.Bytes)
	number("sluice.masked", ev.Masked)
	number("sluice.duration_us", ev.DurationUS)
}

// join makes one ExportLogsServiceRequest.
func (f otlp) join(list []message) ([]byte, string) {
	o := &object{[]byte(`{"resourceLogs":[{"resource":{"attributes":[`)}
	o.textAttribute("service.name", "sluice")
	o.textAttribute("service.instance.id", f.origin)
	o.textAttribute("host.name", f.host)
	o.textAttribute("service.version", f.version)
	n := len(list)
	for i := range list {
		n += len(list[i].body)
	}
	b := slices.Grow(o.b, n+64)
	b = append(b, `]},"scopeLogs":[{"scope":{"name":"sluice.record"},"logRecords":[`...)
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, list[i].body...)
	}
	return append(b, `]}]}]}`...), "application/json"
}
