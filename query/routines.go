package query

import "strings"

// writesRows is what dangerous answers for functions that change data and do
// nothing worse. It is no sign of its own: it sets Writes.
const writesRows Sign = "writes"

// dangerous knows the functions of PostgreSQL and its usual extensions that do
// more than compute. They keep their sign whatever a catalogue says of them.
func dangerous(name string) (Sign, bool) {
	if s, ok := dangerousNames[name]; ok {
		return s, true
	}
	for _, p := range dangerousPrefixes {
		if strings.HasPrefix(name, p.prefix) {
			return p.sign, true
		}
	}
	return "", false
}

var dangerousPrefixes = []struct {
	prefix string
	sign   Sign
}{
	{"dblink", DynamicSQL},
	{"pg_ls_", ServerFile},
	{"pg_file_", ServerFile},
	{"pg_read_", ServerFile},
	{"cron_", DynamicSQL},
}

var dangerousNames = map[string]Sign{
	"pg_stat_file": ServerFile, "lo_import": ServerFile, "lo_export": ServerFile,
	"pg_logdir_ls": ServerFile, "pg_current_logfile": ServerFile, "pg_hba_file_rules": ServerFile,
	"pg_ident_file_mappings": ServerFile, "pg_show_all_file_settings": ServerFile,
	"file_fdw_handler": ServerFile,

	"query_to_xml": DynamicSQL, "query_to_xmlschema": DynamicSQL, "query_to_xml_and_xmlschema": DynamicSQL,
	"table_to_xml": DynamicSQL, "table_to_xmlschema": DynamicSQL, "table_to_xml_and_xmlschema": DynamicSQL,
	"schema_to_xml": DynamicSQL, "schema_to_xmlschema": DynamicSQL, "schema_to_xml_and_xmlschema": DynamicSQL,
	"database_to_xml": DynamicSQL, "database_to_xmlschema": DynamicSQL, "database_to_xml_and_xmlschema": DynamicSQL,
	"cursor_to_xml": DynamicSQL, "cursor_to_xmlschema": DynamicSQL,
	"ts_stat": DynamicSQL, "ts_rewrite": DynamicSQL,
	"crosstab": DynamicSQL, "crosstab2": DynamicSQL, "crosstab3": DynamicSQL, "crosstab4": DynamicSQL,
	"crosstabn": DynamicSQL, "connectby": DynamicSQL, "xpath_table": DynamicSQL,
	"pg_background_launch": DynamicSQL, "run_command_on_workers": DynamicSQL,
	"run_command_on_shards": DynamicSQL, "run_command_on_placements": DynamicSQL,
	"schedule": DynamicSQL, "schedule_in_database": DynamicSQL,

	"set_config": SessionState, "set_role": SessionState,

	"setval":    writesRows,
	"lo_create": writesRows, "lo_creat": writesRows, "lo_unlink": writesRows, "lo_put": writesRows,
	"lo_from_bytea": writesRows, "lowrite": writesRows, "lo_truncate": writesRows, "lo_truncate64": writesRows,

	// Large objects hold data that no column names; reading them is an effect nobody can follow.
	"lo_get": UnknownRoutine, "lo_open": UnknownRoutine, "loread": UnknownRoutine,

	"pg_terminate_backend": UnknownRoutine, "pg_cancel_backend": UnknownRoutine,
	"pg_reload_conf": Privilege, "pg_rotate_logfile": UnknownRoutine, "pg_promote": UnknownRoutine,
	"pg_switch_wal": UnknownRoutine, "pg_create_restore_point": UnknownRoutine,
	"pg_backup_start": UnknownRoutine, "pg_backup_stop": UnknownRoutine,
	"pg_start_backup": UnknownRoutine, "pg_stop_backup": UnknownRoutine,
	"pg_wal_replay_pause": UnknownRoutine, "pg_wal_replay_resume": UnknownRoutine,
	"pg_create_physical_replication_slot": UnknownRoutine, "pg_create_logical_replication_slot": UnknownRoutine,
	"pg_copy_physical_replication_slot": UnknownRoutine, "pg_copy_logical_replication_slot": UnknownRoutine,
	"pg_drop_replication_slot": UnknownRoutine, "pg_replication_slot_advance": UnknownRoutine,
	"pg_logical_slot_get_changes": UnknownRoutine, "pg_logical_slot_peek_changes": UnknownRoutine,
	"pg_logical_slot_get_binary_changes": UnknownRoutine, "pg_logical_slot_peek_binary_changes": UnknownRoutine,
	"pg_logical_emit_message":      UnknownRoutine,
	"pg_replication_origin_create": UnknownRoutine, "pg_replication_origin_drop": UnknownRoutine,
	"pg_stat_reset": UnknownRoutine, "pg_stat_reset_shared": UnknownRoutine, "pg_stat_statements_reset": UnknownRoutine,
	"pg_import_system_collations": UnknownRoutine, "pg_extension_config_dump": UnknownRoutine,
	"pg_log_backend_memory_contexts":      UnknownRoutine,
	"binary_upgrade_set_next_pg_type_oid": UnknownRoutine,
	"get_raw_page":                        UnknownRoutine, "heap_page_items": UnknownRoutine, "heap_page_item_attrs": UnknownRoutine,
	"pgrowlocks": UnknownRoutine, "bt_page_items": UnknownRoutine,
}

// pure reports whether every function of that name in pg_catalog gives a value
// that comes from its arguments (or the catalogue, the clock, the session) and
// from no row of any table, and does nothing else.
func pure(name string) bool {
	return pureNames[name]
}

var pureNames = wordSet(`
count sum avg min max array_agg string_agg json_agg jsonb_agg json_object_agg jsonb_object_agg xmlagg
json_agg_strict jsonb_agg_strict json_object_agg_strict jsonb_object_agg_strict json_object_agg_unique
jsonb_object_agg_unique json_object_agg_unique_strict jsonb_object_agg_unique_strict
bool_and bool_or every bit_and bit_or bit_xor stddev stddev_pop stddev_samp variance var_pop var_samp
corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
mode percentile_cont percentile_disc rank dense_rank percent_rank cume_dist any_value range_agg range_intersect_agg
row_number ntile lag lead first_value last_value nth_value grouping
abs cbrt ceil ceiling degrees div erf erfc exp factorial floor gcd lcm ln log log10 min_scale mod pi power pow radians
round scale sign sqrt trim_scale trunc width_bucket random random_normal setseed acos acosd asin asind atan atand atan2 atan2d
cos cosd cot cotd sin sind tan tand sinh cosh tanh asinh acosh atanh gamma lgamma
numeric_inc int4pl float8 float4 int2 int4 int8 numeric text varchar bpchar char name bool date time timetz timestamp timestamptz interval
ascii btrim chr concat concat_ws format initcap left length char_length character_length octet_length bit_length lower lpad ltrim
md5 normalize is_normalized overlay parse_ident position strpos quote_ident quote_literal quote_nullable repeat replace reverse
regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr
right rpad rtrim split_part starts_with string_to_array string_to_table substr substring to_ascii to_hex to_bin to_oct translate trim
unistr upper casefold similar_escape similar_to_escape like_escape convert convert_from convert_to encode decode get_bit get_byte set_bit set_byte
bit_count sha224 sha256 sha384 sha512 crc32 crc32c to_char to_date to_number to_timestamp
age clock_timestamp date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days justify_hours justify_interval
make_date make_interval make_time make_timestamp make_timestamptz now statement_timestamp timeofday transaction_timestamp timezone overlaps
pg_sleep pg_sleep_for pg_sleep_until
array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions array_prepend
array_remove array_replace array_sample array_shuffle array_to_string array_upper array_sort array_reverse cardinality trim_array unnest
array_to_json json_array_elements jsonb_array_elements json_array_elements_text jsonb_array_elements_text json_array_length
jsonb_array_length json_build_array jsonb_build_array json_build_object jsonb_build_object json_each jsonb_each json_each_text
jsonb_each_text json_extract_path jsonb_extract_path json_extract_path_text jsonb_extract_path_text json_object jsonb_object
json_object_keys jsonb_object_keys json_populate_record jsonb_populate_record json_populate_recordset jsonb_populate_recordset
json_strip_nulls jsonb_strip_nulls json_to_record jsonb_to_record json_to_recordset jsonb_to_recordset json_typeof jsonb_typeof
jsonb_insert jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_tz
jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz jsonb_pretty jsonb_set
jsonb_set_lax row_to_json to_json to_jsonb jsonb json json_exists json_query json_value json_serialize json_scalar json_array json_arrayagg json_objectagg
generate_series generate_subscripts
greatest least coalesce nullif num_nulls num_nonnulls hashtext hashtextextended
int4range int8range numrange tsrange tstzrange daterange range_merge isempty lower_inc upper_inc lower_inf upper_inf
int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange multirange
gen_random_uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7
abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network set_masklen text macaddr8_set7bit
area box center circle diagonal diameter height isclosed isopen line lseg npoints path pclose point polygon popen radius slope width bound_box
array_to_tsvector get_current_ts_config numnode plainto_tsquery phraseto_tsquery websearch_to_tsquery querytree setweight strip
to_tsquery to_tsvector json_to_tsvector jsonb_to_tsvector ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array
ts_debug ts_lexize ts_parse ts_token_type
xmlcomment xmlconcat xml_is_well_formed xml_is_well_formed_document xml_is_well_formed_content xpath xpath_exists xmlexists xml
nextval currval lastval
current_catalog current_database current_query current_role current_schema current_schemas current_user session_user user system_user
inet_client_addr inet_client_port inet_server_addr inet_server_port pg_backend_pid pg_blocking_pids pg_conf_load_time
pg_is_other_temp_schema pg_my_temp_schema pg_listening_channels pg_notification_queue_usage pg_postmaster_start_time
pg_safe_snapshot_blocking_pids pg_trigger_depth version current_setting pg_is_in_recovery pg_client_encoding pg_encoding_to_char pg_char_to_encoding
pg_current_wal_lsn pg_current_wal_insert_lsn pg_current_wal_flush_lsn pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_wal_lsn_diff pg_walfile_name
pg_last_xact_replay_timestamp txid_current txid_current_if_assigned txid_current_snapshot txid_status txid_snapshot_xmin txid_snapshot_xmax
pg_current_xact_id pg_current_xact_id_if_assigned pg_current_snapshot pg_snapshot_xmin pg_snapshot_xmax pg_xact_status pg_xact_commit_timestamp
has_any_column_privilege has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege
has_language_privilege has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege has_table_privilege
has_tablespace_privilege has_type_privilege pg_has_role row_security_active acldefault aclexplode makeaclitem
pg_collation_is_visible pg_conversion_is_visible pg_function_is_visible pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible
pg_statistics_obj_is_visible pg_table_is_visible pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible
format_type pg_get_constraintdef pg_get_expr pg_get_functiondef pg_get_function_arguments pg_get_function_identity_arguments
pg_get_function_result pg_get_indexdef pg_get_keywords pg_get_partkeydef pg_get_partition_constraintdef pg_get_ruledef pg_get_serial_sequence pg_get_statisticsobjdef
pg_get_statisticsobjdef_columns pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_index_column_has_property pg_index_has_property pg_indexam_has_property
pg_options_to_table pg_tablespace_databases pg_tablespace_location pg_typeof to_regclass to_regcollation to_regnamespace to_regoper
to_regoperator to_regproc to_regprocedure to_regrole to_regtype pg_basetype pg_char_to_encoding pg_describe_object pg_identify_object
pg_identify_object_as_address pg_get_object_address col_description obj_description shobj_description
pg_column_size pg_column_compression pg_database_size pg_indexes_size pg_relation_size pg_size_bytes pg_size_pretty pg_table_size
pg_tablespace_size pg_total_relation_size pg_relation_filenode pg_relation_filepath pg_filenode_relation pg_partition_tree pg_partition_ancestors pg_partition_root
pg_relation_is_updatable pg_column_is_updatable pg_relation_is_publishable pg_sequence_parameters pg_sequence_last_value pg_get_replica_identity_index
pg_stat_get_numscans pg_stat_get_live_tuples pg_stat_get_dead_tuples pg_stat_get_activity pg_encoding_max_length
regclass regtype regproc regrole regnamespace oid
`)

func wordSet(s string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(s) {
		set[w] = true
	}
	return set
}
