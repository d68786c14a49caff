package export

import (
	"encoding/json"

	"github.com/sluicehq/sluice/audit"
)

// ocsfVersion is of the schema that the messages follow (github.com/ocsf/ocsf-schema).
const ocsfVersion = "1.8.0"

// Classes of OCSF.
const (
	classAuthentication = 3002
	classLifecycle      = 6002
	classAPI            = 6003
	classDatastore      = 6005
)

// ocsf writes entries as events of the Open Cybersecurity Schema Framework: statements and
// sessions as Datastore Activity, logins as Authentication, starts and ends of the gateway
// as Application Lifecycle, and all else as API Activity. What the schema has no place for
// stands under "unmapped" by its name in the record.
type ocsf struct{ *source }

type object map[string]any

// set puts a value that is not empty.
func (o object) set(key string, value any) {
	switch v := value.(type) {
	case string:
		if v == "" {
			return
		}
	case []string:
		if len(v) == 0 {
			return
		}
	case int64:
		if v == 0 {
			return
		}
	case object:
		if len(v) == 0 {
			return
		}
	}
	o[key] = value
}

func (f ocsf) join(list []message) ([]byte, string) { return lines(list), "application/x-ndjson" }

func (f ocsf) message(ev *audit.Event, _ []byte) ([]byte, error) {
	class, activity, name := ocsfClass(ev)
	out := object{
		"class_uid": class, "category_uid": class / 1000, "activity_id": activity, "type_uid": class*100 + activity,
		"time": ev.Time.UnixMilli(), "severity_id": []int{1, 2, 3, 4}[grave(ev)], "message": said(ev),
		"metadata": f.metadata(ev),
	}
	out.set("activity_name", name)
	status(out, ev)
	switch class {
	case classAuthentication:
		user := ocsfUser(ev)
		if len(user) == 0 {
			user = object{"name": "unknown"} // who it was is what was not believed
		}
		out["user"], out["service"] = user, object{"name": "Sluice", "uid": f.origin}
		out["auth_protocol_id"], out["auth_protocol"] = 4, "OpenID"
		out["is_remote"] = true
	case classLifecycle:
		out["app"] = f.product()
	default:
		out["actor"], out["src_endpoint"] = f.actor(ev), f.from(ev)
	}
	switch class {
	case classDatastore:
		out["database"] = object{"name": cmpOr(ev.Connection, "unknown"), "type_id": 1, "type": "Relational"}
		if t := tables(ev); len(t) == 1 {
			out["table"] = object{"name": t[0]}
		}
		if ev.SQL != "" {
			q := object{"query_string": ev.SQL, "uid": cmpOr(ev.Fingerprint, ev.ID)}
			q.set("bytes", ev.Bytes)
			out["query_info"] = q
		}
		out["dst_endpoint"] = object{"svc_name": cmpOr(ev.Connection, "unknown")}
	case classAPI:
		out["api"] = object{"operation": string(ev.Kind), "service": object{"name": "Sluice", "uid": f.origin}}
		if ev.Connection != "" {
			out["resources"] = []object{{"name": ev.Connection, "type": "connection"}}
		}
	}
	out.set("unmapped", unmapped(ev, class))
	return json.Marshal(out)
}

// ocsfClass gives the class of an event, and its activity.
func ocsfClass(ev *audit.Event) (class, activity int, name string) {
	switch ev.Kind {
	case audit.Decided, audit.Finished:
		activity, name = datastoreActivity(ev.Statement)
		return classDatastore, activity, name
	case audit.Connected:
		return classDatastore, 3, "Connect"
	case audit.Closed:
		return classDatastore, 99, "Disconnect"
	case audit.LoggedIn:
		return classAuthentication, 1, "Logon"
	case audit.Started:
		return classLifecycle, 3, "Start"
	case audit.Stopped:
		return classLifecycle, 4, "Stop"
	case audit.Asked:
		return classAPI, 1, "Create"
	case audit.Questioned, audit.Rights:
		return classAPI, 2, "Read"
	case audit.Voted, audit.Answered, audit.Admin, audit.Rotated:
		return classAPI, 3, "Update"
	}
	return classAPI, 99, string(ev.Kind)
}

func datastoreActivity(statement string) (int, string) {
	switch statement {
	case "select", "fetch", "declare":
		return 4, "Query"
	case "copy_to":
		return 1, "Read"
	case "insert", "copy_from":
		return 5, "Write"
	case "update", "merge":
		return 2, "Update"
	case "delete", "truncate", "drop":
		return 7, "Delete"
	case "ddl":
		return 6, "Create"
	case "show":
		return 8, "List"
	case "":
		return 0, "Unknown"
	}
	return 99, statement
}

// status says how it went: of a decision, whether it let the statement run.
func status(out object, ev *audit.Event) {
	id, name := 0, "Unknown"
	switch ev.Kind {
	case audit.Decided, audit.Voted, audit.Answered:
		switch ev.Effect {
		case "allow":
			id, name = 1, "Success"
		case "deny":
			id, name = 2, "Failure"
		case "hold":
			id, name = 99, "Held"
		}
	default:
		switch ev.Outcome {
		case "ok":
			id, name = 1, "Success"
		case "":
		default:
			id, name = 2, "Failure"
		}
	}
	out["status_id"], out["status"] = id, name
	out.set("status_code", ev.ErrorCode)
	out.set("status_detail", cmpOr(ev.Error, ev.Reason))
}

func (f ocsf) metadata(ev *audit.Event) object {
	m := object{"version": ocsfVersion, "product": f.product(), "uid": ev.ID, "sequence": ev.Seq, "log_name": f.origin}
	m.set("correlation_uid", cmpOr(ev.Of, ev.ID))
	if len(ev.Cut) > 0 {
		m["is_truncated"] = true
	}
	return m
}

func (f ocsf) product() object {
	p := object{"name": "Sluice", "vendor_name": "Sluice", "uid": f.origin}
	p.set("version", f.version)
	return p
}

func (f ocsf) actor(ev *audit.Event) object {
	a := object{}
	a.set("user", ocsfUser(ev))
	a.set("app_name", ev.Client)
	if ev.Session != "" {
		a["session"] = object{"uid": ev.Session, "is_remote": true}
	}
	if len(a) == 0 {
		a["app_name"] = "sluice"
	}
	return a
}

func ocsfUser(ev *audit.Event) object {
	u := object{}
	u.set("name", ev.Who)
	u.set("uid", ev.Subject)
	if len(u) == 0 {
		return u
	}
	u.set("credential_uid", ev.Credential)
	switch ev.CallerKind {
	case "person":
		u["type_id"], u["type"] = 1, "User"
	case "job":
		u["type_id"], u["type"] = 4, "Service"
	case "":
		u["type_id"], u["type"] = 0, "Unknown"
	default:
		u["type_id"], u["type"] = 99, ev.CallerKind
	}
	var groups []object
	for _, g := range ev.Groups {
		groups = append(groups, object{"name": g})
	}
	if groups != nil {
		u["groups"] = groups
	}
	return u
}

func (f ocsf) from(ev *audit.Event) object {
	ip, port := address(ev.From)
	if ip == "" {
		return object{"svc_name": "sluice", "uid": f.origin}
	}
	o := object{"ip": ip}
	if port > 0 {
		o["port"] = port
	}
	return o
}

// unmapped is what the schema has no place for.
func unmapped(ev *audit.Event, class int) object {
	o := object{}
	for key, value := range map[string]any{
		"kind": string(ev.Kind), "owner": ev.Owner, "role": ev.Role, "claims": ev.Claims, "purpose": ev.Purpose, "params": ev.Params, "statement": ev.Statement,
		"signs": ev.Signs, "reads": ev.Reads, "writes": ev.Writes, "personal": ev.Personal, "effect": ev.Effect, "rule": ev.Rule, "reason": ev.Reason,
		"approvers": ev.Approvers, "outcome": ev.Outcome, "rows": ev.Rows, "bytes": ev.Bytes, "masked": ev.Masked, "masked_cols": ev.MaskedCols,
		"duration_us": ev.DurationUS, "detail": ev.Detail, "cut": ev.Cut, "sql_hash": ev.SQLHash,
	} {
		o.set(key, value)
	}
	if ev.Who == "" && ev.Subject == "" {
		o.set("groups", ev.Groups)
	}
	if class != classDatastore {
		o.set("sql", ev.SQL)
	}
	if class == classLifecycle || class == classAuthentication {
		o.set("connection", ev.Connection)
		o.set("from", ev.From)
		o.set("session", ev.Session)
	}
	return o
}
