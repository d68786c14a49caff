package query

import (
	"slices"
	"strings"

	"github.com/multigres/multigres/go/common/parser/ast"
)

// Which functions of the server take what without failing. A function that is not here may
// fail for some of what it is given, and counts so: what is listed is what ordinary work
// needs, and not what is dangerous, of which nobody knows all.

// sound says of a function which of its arguments may be any computed value: all for
// "*", else those whose places, from 0, are in the word.
var sound = func() map[string]string {
	out := map[string]string{}
	for args, names := range map[string]string{
		"*": `upper lower initcap btrim ltrim rtrim trim length char_length character_length octet_length bit_length reverse replace translate
concat concat_ws md5 sha224 sha256 sha384 sha512 ascii strpos position starts_with left right to_hex quote_ident quote_literal quote_nullable
abs sign ceil ceiling floor trunc round greatest least normalize unaccent textcat hashtext hashtextextended
count sum avg min max array_agg string_agg json_agg jsonb_agg bool_and bool_or every stddev stddev_pop stddev_samp variance var_pop var_samp
corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy mode any_value
row_number rank dense_rank percent_rank cume_dist first_value last_value lag lead
to_json to_jsonb row_to_json array_to_json json_build_array jsonb_build_array json_extract_path json_extract_path_text jsonb_extract_path
jsonb_extract_path_text json_typeof jsonb_typeof json_strip_nulls jsonb_strip_nulls jsonb_pretty
array_length array_ndims array_dims array_lower array_upper cardinality array_to_string string_to_array string_to_table array_position array_positions unnest
host text family masklen network abbrev broadcast netmask hostmask set_bit_count bit_count
age isfinite justify_days justify_hours justify_interval now clock_timestamp statement_timestamp transaction_timestamp
num_nulls num_nonnulls pg_typeof pg_column_size coalesce nullif tsvector_to_array to_tsvector plainto_tsquery phraseto_tsquery websearch_to_tsquery
isempty lower_inc upper_inc lower_inf upper_inf levenshtein soundex metaphone similarity word_similarity daitch_mokotoff
array_append array_prepend array_remove array_replace setweight ts_headline varchar bpchar ts_rank ts_rank_cd gen_random_uuid format_type obj_description col_description
pg_get_expr pg_get_constraintdef pg_get_indexdef pg_get_viewdef pg_table_is_visible pg_get_userbyid has_table_privilege`,
		"0": `mod div substring overlay encode to_char lpad rpad regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
regexp_count regexp_instr regexp_like regexp_substr split_part repeat width_bucket nth_value percentile_cont percentile_disc`,
		"01":        `substr`,
		"02":        `jsonb_set`,
		"2":         `jsonb_insert`,
		"1":         `date_trunc extract date_part timezone json_object_agg jsonb_object_agg`,
		"123456789": `format`,
		"13579":     `json_build_object jsonb_build_object`,
	} {
		for name := range wordSet(names) {
			out[name] = args
		}
	}
	return out
}()

func soundAt(args string, i int) bool {
	return args == "*" || i < 10 && strings.Contains(args, string(rune('0'+i)))
}

// refuses follows what is given to a function of the server that fails for some of it.
func (r *resolver) refuses(n *ast.FuncCall, args []flow, sc *scope) {
	name := lastName(n.Funcname)
	if !r.known(n) && !fallibles[name] && !fallibleSecond[name] {
		return // a user's: its body is read
	}
	allowed := sound[name]
	for i, arg := range items(n.Args) {
		if soundAt(allowed, i) || (name == "mod" || name == "div") && divisor(arg) || r.soundHere(name, n, args, i) {
			continue
		}
		r.fallible(arg, args[i], sc)
	}
	r.chosen(name, n, args)
}

// soundHere reports whether a call takes any value in a place because of what is in others,
// or of what sort the value is.
func (r *resolver) soundHere(name string, n *ast.FuncCall, args []flow, i int) bool {
	list, of := items(n.Args), args[i].num
	switch name {
	case "substring":
		return i == 1 && len(args) == 2 && of.sort == whole
	case "convert_to":
		return i == 0 && len(list) == 2 && unicodeNamed(list[1])
	case "date", "timestamp", "timestamptz":
		return of.sort == day
	case "float8", "numeric":
		return of.reckons()
	case "int4", "int8":
		return of.reckons() && of.size() <= maxGain
	}
	return i == 1 && ranges[name] && reaches(list[0], list[1])
}

func unicodeNamed(n ast.Node) bool {
	s, _, ok := constant(n)
	return ok && (strings.EqualFold(s, "utf8") || strings.EqualFold(s, "utf-8"))
}

// chosen follows functions that fail by how a column and what is given beside it compare:
// int4range(salary, 9000000) tells as much as a comparison does.
func (r *resolver) chosen(name string, n *ast.FuncCall, args []flow) {
	of := flow{}
	for _, f := range args {
		of.add(f)
	}
	list := items(n.Args)
	steers := false
	switch name {
	default:
		if !ranges[name] {
			return
		}
		if len(args) > 1 && args[0].asItIs() && args[1].asItIs() {
			r.pair(args[0], args[1], anything)
			r.pair(args[1], args[0], anything)
			return
		}
		steers = len(args) > 1 && !unbounded(list[0]) && !unbounded(list[1]) && !reaches(list[0], list[1])
	case "power", "pow":
		steers = len(args) > 1 && (!args[1].num.has(said) || args[1].num.size() > maxPower)
	case "repeat", "lpad", "rpad":
		steers = len(args) > 1 && (!args[1].num.has(said) || args[1].num.size() > maxPadded)
	case "to_date", "to_timestamp", "to_number":
		steers = len(args) > 1 && !wholeFormat(name, list[1])
	case "jsonb_path_query", "jsonb_path_query_first", "jsonb_path_query_array", "jsonb_path_exists", "jsonb_path_match":
		steers = len(args) > 1 && !plainPath(list[1])
	case "convert_to":
		steers = len(list) > 1 && !unicodeNamed(list[1])
	case "get_byte", "get_bit", "set_byte", "set_bit", "array_fill", "width_bucket", "trim_array", "setseed",
		"make_date", "make_time", "make_timestamp", "make_timestamptz", "log", "array_cat", "set_masklen":
		steers = slices.ContainsFunc(args, func(f flow) bool { return f.empty() })
	}
	if steers {
		r.failAll(of)
	}
}

// unbounded reports whether an end of a range is open.
func unbounded(n ast.Node) bool {
	c, ok := bare(n).(*ast.A_Const)
	return ok && c.Isnull
}

// reaches reports whether one end of a range is reckoned from the other: salary, salary + 1.
func reaches(a, b ast.Node) bool {
	e, ok := bare(b).(*ast.A_Expr)
	return ok && e.Kind == ast.AEXPR_OP && lastName(e.Name) == "+" && e.Lexpr != nil && same(a, e.Lexpr)
}

// wholeFormat reports whether a format reads the whole of a day, a time or a number, as
// loads do, and not some letters of whatever text.
func wholeFormat(name string, n ast.Node) bool {
	c, ok := bare(n).(*ast.A_Const)
	if !ok {
		return false
	}
	s, ok := c.Val.(*ast.String)
	if !ok {
		return false
	}
	format := strings.ToUpper(s.SVal)
	if strings.Contains(format, `"`) {
		return false
	}
	if name == "to_number" {
		return strings.Trim(format, "09DGSLMI.,") == ""
	}
	rest := format
	for _, part := range []string{"YYYY", "YY", "MONTH", "MON", "MM", "DD", "HH24", "HH12", "HH", "MI", "SS", "MS", "US", "AM", "PM", "TZH", "TZM", "TZ", "T", "Z"} {
		rest = strings.Replace(rest, part, "", 1)
	}
	return strings.Contains(format, "YY") && strings.Contains(format, "M") && strings.Trim(rest, "-/.: ,") == "" && !strings.ContainsAny(format[:1], "-/.: ,")
}

// plainPath reports whether a path only goes down a document: no conditions, no strictness.
func plainPath(n ast.Node) bool {
	for {
		c, ok := bare(n).(*ast.TypeCast)
		if !ok {
			break
		}
		n = c.Arg
	}
	c, ok := bare(n).(*ast.A_Const)
	if !ok {
		return false
	}
	s, ok := c.Val.(*ast.String)
	return ok && !strings.ContainsAny(s.SVal, "?()@!<>=+-/%") && !strings.Contains(s.SVal, "strict")
}

// callNum is the size of what a function gives.
func (r *resolver) callNum(n *ast.FuncCall, args []flow) num {
	name, list := lastName(n.Funcname), items(n.Args)
	var first, all num
	for i, f := range args {
		if i == 0 {
			first = f.num
		}
		all = all.plus(f.num)
	}
	is := all.is & marks
	switch {
	case !r.known(n):
		return number(anything, marks, infinite)
	case clocks[name] && len(args) == 0:
		return number(day, said, 1)
	case name == "make_interval":
		return num{day, all.is, all.large}
	case name == "sum":
		if first.sort == fitted {
			first.sort = wide
		}
		return number(first.sort, is, first.size()*summed)
	case keeping[name]:
		return num{all.sort, is, gainOf(all.size())}
	case name == "count":
		return number(whole, is, 1)
	case lengths[name]:
		return num{whole, is | tests, gainOf(first.size())}
	case averages[name] && r.clock(n):
		return number(fitted, said, untilNow(list[0]))
	case averages[name]:
		if all.sort == wide || all.sort == anything {
			return num{wide, is, gainOf(all.size())}
		}
		return num{fitted, is, gainOf(all.size())}
	case days[name]:
		return num{day, is, gainOf(all.size())}
	case name == "repeat" || name == "lpad" || name == "rpad":
		return number(text, is, filled(name, args))
	case name == "concat" || name == "concat_ws" || name == "format":
		sum := 0.0
		for _, f := range args {
			sum += f.num.padded()
		}
		return number(text, is, sum)
	case arrays[name]:
		if name != "array_agg" {
			is |= marks
		}
		return number(array, is, all.size())
	case gentle[name]:
		return number(text, is, all.size())
	}
	return number(anything, is|marks, all.size())
}

// clock reports whether a function is given the time that it is, and nothing else.
func (r *resolver) clock(n *ast.FuncCall) bool {
	list := items(n.Args)
	if len(list) != 2 {
		return false
	}
	switch x := bare(list[1]).(type) {
	case *ast.SQLValueFunction:
		return true
	case *ast.FuncCall:
		return clocks[lastName(x.Funcname)] && r.known(x)
	}
	return false
}

// untilNow is how large a part of the present time may be.
func untilNow(field ast.Node) float64 {
	s, _, _ := constant(field)
	if name, ok := field.(*ast.String); ok {
		s = name.SVal
	}
	switch strings.ToLower(s) {
	case "year", "isoyear", "month", "day", "hour", "minute", "quarter", "week", "dow", "doy":
		return 1
	}
	return infinite
}

// filled is by how much a function makes a text longer.
func filled(name string, args []flow) float64 {
	switch {
	case len(args) < 2 || !args[1].num.has(said) || args[1].num.size() > maxGain:
		return maxGain + 1
	case name == "repeat":
		return args[1].num.size() * args[0].num.size()
	}
	return args[0].num.size()
}

var (
	ranges   = wordSet("int4range int8range numrange daterange tsrange tstzrange")
	clocks   = wordSet("now clock_timestamp statement_timestamp transaction_timestamp")
	keeping  = wordSet("round ceil ceiling floor abs trunc min max lag lead first_value last_value any_value mode")
	lengths  = wordSet("count length char_length character_length octet_length bit_length strpos position ascii cardinality array_length row_number rank dense_rank")
	averages = wordSet("avg stddev stddev_pop stddev_samp variance var_pop var_samp extract date_part percentile_cont")
	days     = wordSet("date_trunc age make_interval make_date justify_days justify_hours justify_interval timezone")
	arrays   = wordSet("array_agg string_to_array regexp_match regexp_split_to_array array_append array_prepend array_cat array_remove array_replace array_fill array_positions trim_array xpath")
	gentle   = wordSet(`upper lower initcap btrim ltrim rtrim trim md5 sha224 sha256 sha384 sha512 string_agg json_agg jsonb_agg json_build_object jsonb_build_object
to_json to_jsonb row_to_json array_to_string to_char quote_ident quote_literal quote_nullable coalesce`)
)

// tested is a flow that says something of columns which its writer chose.
func (f flow) tested() flow {
	f.num = number(text, tests, 1)
	return f
}
