package export

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/sluicehq/sluice/audit"
)

// otlp writes entries as log records of OpenTelemetry, in the JSON form of OTLP 1. Names
// of attributes are those of its semantic conventions where these have one, and begin
// with "sluice." where not.
type otlp struct{ *source }

type attribute struct {
	Key   string `json:"key"`
	Value object `json:"value"`
}

func (f otlp) message(ev *audit.Event, _ []byte) ([]byte, error) {
	var list []attribute
	text := func(key, value string) {
		if value != "" {
			list = append(list, attribute{key, object{"stringValue": value}})
		}
	}
	number := func(key string, n int64) {
		if n != 0 {
			list = append(list, attribute{key, object{"intValue": strconv.FormatInt(n, 10)}})
		}
	}
	texts := func(key string, values []string) {
		if len(values) > 0 {
			all := make([]object, len(values))
			for i, v := range values {
				all[i] = object{"stringValue": v}
			}
			list = append(list, attribute{key, object{"arrayValue": object{"values": all}}})
		}
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
	for _, v := range []struct{ key, value string }{
		{"of", ev.Of}, {"caller_kind", ev.CallerKind}, {"owner", ev.Owner}, {"role", ev.Role}, {"application", ev.Client}, {"purpose", ev.Purpose},
		{"fingerprint", ev.Fingerprint}, {"effect", ev.Effect}, {"rule", ev.Rule}, {"reason", ev.Reason}, {"outcome", ev.Outcome}, {"detail", ev.Detail},
	} {
		text("sluice."+v.key, v.value)
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
	g := grave(ev)
	return json.Marshal(object{
		"timeUnixNano": strconv.FormatInt(ev.Time.UnixNano(), 10), "observedTimeUnixNano": strconv.FormatInt(ev.Time.UnixNano(), 10),
		"severityNumber": []int{9, 10, 13, 17}[g], "severityText": []string{"INFO", "INFO2", "WARN", "ERROR"}[g],
		"eventName": "sluice." + string(ev.Kind), "body": object{"stringValue": said(ev)}, "attributes": list,
	})
}

// join makes one ExportLogsServiceRequest.
func (f otlp) join(list []message) ([]byte, string) {
	resource := []attribute{
		{"service.name", object{"stringValue": "sluice"}}, {"service.instance.id", object{"stringValue": f.origin}}, {"host.name", object{"stringValue": f.host}},
	}
	if f.version != "" {
		resource = append(resource, attribute{"service.version", object{"stringValue": f.version}})
	}
	head, _ := json.Marshal(object{"attributes": resource}) // texts only
	var b bytes.Buffer
	b.WriteString(`{"resourceLogs":[{"resource":`)
	b.Write(head)
	b.WriteString(`,"scopeLogs":[{"scope":{"name":"sluice.record"},"logRecords":[`)
	for i, m := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(m.body)
	}
	b.WriteString(`]}]}]}`)
	return b.Bytes(), "application/json"
}
