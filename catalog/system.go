package catalog

import "strings"

func isSystem(schema string) bool {
	return schema == "pg_catalog" || schema == "information_schema" || schema == "pg_toast"
}

func isTemporary(schema string) bool {
	return strings.HasPrefix(schema, "pg_temp_") || strings.HasPrefix(schema, "pg_toast_temp_")
}

// builtInLabel labels the columns of PostgreSQL's own relations: names and numbers
// that tools need to show what is there. Some of them hold values of other tables,
// texts of statements or secrets, and some hold text that anyone may have written;
// the latter stay unlabelled, so that they are read before they leave.
func builtInLabel(e *entry, column string) (Label, bool) {
	if e.rel.Name == "pg_stat_statements" && column == "query" { // lives in any schema
		return systemPII("sql"), true
	}
	if !e.system {
		return Label{}, false
	}
	if e.rel.Schema == "pg_toast" {
		return systemPII("personal"), true
	}
	if t := systemPersonal[e.rel.Name+"."+column]; t != "" {
		return systemPII(t), true
	}
	if systemWritten[e.rel.Name+"."+column] {
		return Label{}, false
	}
	return Label{Clean: true, Confidence: 1, Evidence: "part of PostgreSQL's catalogue"}, true
}

func systemPII(t string) Label {
	return Label{PII: true, Type: t, Where: "whole", Confidence: 1, Evidence: "PostgreSQL keeps values of other tables, statements or secrets here"}
}

// systemPersonal are the columns of system relations that hold values taken from
// tables, texts of statements, secrets, or where people connect from.
var systemPersonal = map[string]string{
	"pg_stats.most_common_vals":            "stats",
	"pg_stats.most_common_elems":           "stats",
	"pg_stats.histogram_bounds":            "stats",
	"pg_stats_ext.most_common_vals":        "stats",
	"pg_stats_ext_exprs.most_common_vals":  "stats",
	"pg_stats_ext_exprs.most_common_elems": "stats",
	"pg_stats_ext_exprs.histogram_bounds":  "stats",
	"pg_statistic.stavalues1":              "stats",
	"pg_statistic.stavalues2":              "stats",
	"pg_statistic.stavalues3":              "stats",
	"pg_statistic.stavalues4":              "stats",
	"pg_statistic.stavalues5":              "stats",
	"pg_statistic_ext_data.stxdmcv":        "stats",
	"pg_statistic_ext_data.stxdexpr":       "stats",
	"pg_stat_activity.query":               "sql",
	"pg_stat_activity.client_addr":         "ip",
	"pg_stat_activity.client_hostname":     "ip",
	"pg_stat_replication.client_addr":      "ip",
	"pg_stat_replication.client_hostname":  "ip",
	"pg_prepared_statements.statement":     "sql",
	"pg_cursors.statement":                 "sql",
	"pg_largeobject.data":                  "personal",
	"pg_authid.rolpassword":                "secret",
	"pg_shadow.passwd":                     "secret",
	"pg_user.passwd":                       "secret",
	"pg_user_mapping.umoptions":            "secret",
	"pg_user_mappings.umoptions":           "secret",
	"pg_foreign_server.srvoptions":         "secret",
	"pg_subscription.subconninfo":          "secret",
	"pg_stat_wal_receiver.conninfo":        "secret",
	"user_mapping_options.option_value":    "secret",
	"foreign_server_options.option_value":  "secret",
	"_pg_user_mappings.umoptions":          "secret",
	"_pg_foreign_servers.srvoptions":       "secret",
}

// systemWritten are columns of system relations whose text people write.
var systemWritten = map[string]bool{
	"pg_description.description":        true,
	"pg_shdescription.description":      true,
	"pg_proc.prosrc":                    true,
	"pg_attrdef.adbin":                  true,
	"pg_attribute.attmissingval":        true,
	"pg_settings.setting":               true,
	"pg_settings.reset_val":             true,
	"pg_file_settings.setting":          true,
	"pg_db_role_setting.setconfig":      true,
	"pg_user.useconfig":                 true,
	"pg_shadow.useconfig":               true,
	"pg_roles.rolconfig":                true,
	"pg_views.definition":               true,
	"pg_matviews.definition":            true,
	"pg_rules.definition":               true,
	"pg_stat_activity.application_name": true,
	"pg_hba_file_rules.address":         true,
	"pg_hba_file_rules.options":         true,
	"columns.column_default":            true,
	"views.view_definition":             true,
	"routines.routine_definition":       true,
	"parameters.parameter_default":      true,
	"check_constraints.check_clause":    true,
	"triggers.action_condition":         true,
	"pg_seclabel.label":                 true,
	"pg_seclabels.label":                true,
	"pg_shseclabel.label":               true,
}
