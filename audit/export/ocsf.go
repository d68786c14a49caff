package export

import "github.com/sluicehq/sluice/audit"

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

func (f ocsf) join(list []message) ([]byte, string) { return lines(list), "application/x-ndjson" }

func (f ocsf) message(b []byte, ev *audit.Event, _ []byte) []byte {
	class, activity, name := ocsfClass(ev)
	o := &object{append(b, '{')}
	o.int("class_uid", int64(class))
	o.int("category_uid", int64(class/1000))
	o.int("activity_id", int64(activity))
	o.int("type_uid", int64(class*100+activity))
	o.text("activity_name", name)
	o.int("time", ev.Time.UnixMilli())
	o.int("severity_id", int64(1+grave(ev)))
	o.str("message", said(ev))
	f.metadata(o, ev)
	status(o, ev)
	switch class {
	case classAuthentication:
		if !ocsfUser(o, ev) {
			o.open("user")
			o.str("name", "unknown") // who it was is what was not believed
			o.close()
		}
		f.service(o)
		o.int("auth_protocol_id", 4)
		o.str("auth_protocol", "OpenID")
		o.yes("is_remote")
	case classLifecycle:
		f.product(o, "app")
	default:
		f.actor(o, ev)
		f.from(o, ev)
	}
	switch class {
	case classDatastore:
		datastore(o, ev)
	case classAPI:
		o.open("api")
		o.str("operation", string(ev.Kind))
		f.service(o)
		o.close()
		if ev.Connection != "" {
			o.list("resources")
			o.open("")
			o.str("name", ev.Connection)
			o.str("type", "connection")
			o.close()
			o.endList()
		}
	}
	unmapped(o, ev, class)
	o.close()
	return o.b
}

// datastore is what a statement or session is about.
func datastore(o *object, ev *audit.Event) {
	o.open("database")
	o.str("name", cmpOr(ev.Connection, "unknown"))
	o.int("type_id", 1)
	o.str("type", "Relational")
	o.close()
	if t := tables(ev); len(t) == 1 {
		o.open("table")
		o.str("name", t[0])
		o.close()
	}
	if ev.SQL != "" {
		o.open("query_info")
		o.str("query_string", ev.SQL)
		o.str("uid", cmpOr(ev.Fingerprint, ev.ID))
		o.number("bytes", ev.Bytes)
		o.close()
	}
	o.open("dst_endpoint")
	o.str("svc_name", cmpOr(ev.Connection, "unknown"))
	o.close()
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
func status(o *object, ev *audit.Event) {
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
	o.int("status_id", int64(id))
	o.str("status", name)
	o.text("status_code", ev.ErrorCode)
	o.text("status_detail", cmpOr(ev.Error, ev.Reason))
}

func (f ocsf) metadata(o *object, ev *audit.Event) {
	o.open("metadata")
	o.str("version", ocsfVersion)
	f.product(o, "product")
	o.str("uid", ev.ID)
	o.int("sequence", int64(ev.Seq))
	o.str("log_name", f.origin)
	o.text("correlation_uid", cmpOr(ev.Of, ev.ID))
	if len(ev.Cut) > 0 {
		o.yes("is_truncated")
	}
	o.close()
}

func (f ocsf) product(o *object, key string) {
	o.open(key)
	o.str("name", "Sluice")
	o.str("vendor_name", "Sluice")
	o.str("uid", f.origin)
	o.text("version", f.version)
	o.close()
}

func (f ocsf) service(o *object) {
	o.open("service")
	o.str("name", "Sluice")
	o.str("uid", f.origin)
	o.close()
}

func (f ocsf) actor(o *object, ev *audit.Event) {
	o.open("actor")
	known := ocsfUser(o, ev)
	o.text("app_name", ev.Client)
	switch {
	case ev.Session != "":
		o.open("session")
		o.str("uid", ev.Session)
		o.yes("is_remote")
		o.close()
	case !known && ev.Client == "":
		o.str("app_name", "sluice")
	}
	o.close()
}

// ocsfUser is who it was; false if nobody is named.
func ocsfUser(o *object, ev *audit.Event) bool {
	if ev.Who == "" && ev.Subject == "" {
		return false
	}
	o.open("user")
	o.text("name", ev.Who)
	o.text("uid", ev.Subject)
	o.text("credential_uid", ev.Credential)
	id, kind := int64(99), ev.CallerKind
	switch ev.CallerKind {
	case "person":
		id, kind = 1, "User"
	case "job":
		id, kind = 4, "Service"
	case "":
		id, kind = 0, "Unknown"
	}
	o.int("type_id", id)
	o.str("type", kind)
	if len(ev.Groups) > 0 {
		o.list("groups")
		for _, g := range ev.Groups {
			o.open("")
			o.str("name", g)
			o.close()
		}
		o.endList()
	}
	o.close()
	return true
}

func (f ocsf) from(o *object, ev *audit.Event) {
	o.open("src_endpoint")
	if ip, port := address(ev.From); ip != "" {
		o.str("ip", ip)
		o.number("port", int64(port))
	} else {
		o.str("svc_name", "sluice")
		o.str("uid", f.origin)
	}
	o.close()
}

// unmapped is what the schema has no place for.
func unmapped(o *object, ev *audit.Event, class int) {
	o.open("unmapped")
	o.text("kind", string(ev.Kind))
	o.text("owner", ev.Owner)
	o.text("role", ev.Role)
	o.texts("claims", ev.Claims)
	o.text("purpose", ev.Purpose)
	o.texts("params", ev.Params)
	o.text("statement", ev.Statement)
	o.texts("signs", ev.Signs)
	o.texts("reads", ev.Reads)
	o.texts("writes", ev.Writes)
	o.texts("personal", ev.Personal)
	o.text("effect", ev.Effect)
	o.text("rule", ev.Rule)
	o.text("reason", ev.Reason)
	o.texts("approvers", ev.Approvers)
	o.text("outcome", ev.Outcome)
	o.number("rows", ev.Rows)
	o.number("bytes", ev.Bytes)
	o.number("masked", ev.Masked)
	o.texts("masked_cols", ev.MaskedCols)
	o.number("duration_us", ev.DurationUS)
	o.text("detail", ev.Detail)
	o.texts("cut", ev.Cut)
	o.text("sql_hash", ev.SQLHash)
	if ev.Who == "" && ev.Subject == "" {
		o.texts("groups", ev.Groups)
	}
	if class != classDatastore {
		o.text("sql", ev.SQL)
	}
	if class == classLifecycle || class == classAuthentication {
		o.text("connection", ev.Connection)
		o.text("from", ev.From)
		o.text("session", ev.Session)
	}
	o.close()
}
