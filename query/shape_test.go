package query

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// alikeTexts are pairs of one shape. What is found of the first must never be
// given out for the second if it says something else.
var alikeTexts = []struct {
	name, first, second string
	shared              bool // one analysis serves both
}{
	{"point query", "SELECT email FROM users WHERE id = 1;", "SELECT email FROM users WHERE id = 42;", true},
	{"text", "select id from users where email = 'a'", "select id from users where email = 'it''s ; -- me'", true},
	{"list", "select id from users where id in (1, 2)", "select id from users where id in (3, 4)", true},
	{"range and limit", "select id from users where id between 1 and 5 limit 10 offset 2", "select id from users where id between 7 and 9 limit 1 offset 0", true},
	{"insert", "insert into users (id, email) values (1, 'a'), (2, 'b')", "insert into users (id, email) values (3, 'c'), (4, 'd')", true},
	{"another shape", "update users set id = id + 12 where id = 7", "update users set id = id + -3 where id = 7", false},
	{"plus", "update users set id = id + 12 where id = 7", "update users set id = id + 3 where id = 8", true},
	{"delete", "delete from users where id = 1.5", "delete from users where id = 2.25", true},
	{"quoted names", `select "id" from "users" where "id" = 1`, `select "id" from "users" where "id" = 2`, true},

	{"a condition that becomes true", "delete from users where 1 = 2", "delete from users where 1 = 1", false},
	{"a condition that becomes true, beside another", "delete from users where id = 3 or 1 = 2", "delete from users where id = 3 or 1 = 1", false},
	{"a complement", "delete from users where id = 1 or id <> 2", "delete from users where id = 1 or id <> 1", false},
	{"a bare word of truth", "delete from users where 'f'", "delete from users where 't'", false},
	{"a bare number of truth", "delete from users where 0::bool", "delete from users where 1::bool", false},
	{"a pattern for all", "delete from users where email like 'a'", "delete from users where email like '%'", false},
	{"a neutral sum", "delete from users where id = id + 1", "delete from users where id = id + 0", false},
	{"a position", "select id, email from users order by 1", "select id, email from users order by 2", false},
	{"a setting", "select set_config('work_mem', '1MB', false)", "select set_config('search_path', '1MB', false)", false},
	{"a constant in a function", "select lower('a') from users", "select lower('b') from users", false},
	{"a deeper query", "select email from users where id = (select 1)", "select email from users where id = (select 2)", false},
	{"a union", "select id from users where id = 1 union select id from users where id = 1", "select id from users where id = 2 union select id from users where id = 3", false},
}

func TestConstantsThatMatterAreNeverShared(t *testing.T) {
	for _, tt := range alikeTexts {
		t.Run(tt.name, func(t *testing.T) {
			c, s := NewCache(Config{}), people()
			c.Analyze(tt.first, s, 1)
			got := c.Analyze(tt.second, s, 1)
			if diff := cmp.Diff(Analyze(tt.second, s), unlike(got)); diff != "" {
				t.Errorf("remembered and fresh differ (-fresh +remembered):\n%s", diff)
			}
			if shared := got[0].Like != nil; shared != tt.shared {
				t.Errorf("shared is %v", shared)
			}
		})
	}
}

func unlike(list []Statement) []Statement {
	out := append([]Statement(nil), list...)
	for i := range out {
		out[i].Like = nil
	}
	return out
}

// TestTextsThatHideTokensHaveNoShape: where a constant begins and ends must be
// beyond doubt.
func TestTextsThatHideTokensHaveNoShape(t *testing.T) {
	for _, sql := range []string{
		`select 1 -- '`, `select /* ' */ 1`, `select E'\'' , 1`, `select U&'\0027'`, `select $$'$$`, `select $a$'$a$`,
		"select 'a'\n'b'", "select 'a' \f 'b'", `select 'a\'`, `select 'é'`, "select é", `select B'1'`, `select n'x'`, "select 1; select 2",
		"select 1e5", "select 0x1F", "select 1.", "select 1..2", "select .5", "select 1_000", "select 12345678901", "select 'open", `select "open`,
		"select 'a\x01'", "\x01", "select $1a", "select $", "select 1a", `select "a` + "\n" + `b"`, "select 1$", `U&"a"`,
	} {
		if _, _, ok := new(shaper).shape(sql); ok {
			t.Errorf("%q has a shape", sql)
		}
	}
}

func TestShapesDifferInMoreThanConstants(t *testing.T) {
	seen := map[string]string{}
	for _, sql := range []string{"select 1", "select 'a'", "select 1.5", "select a", "select $1", "select $2", `select "a"`, `select "1"`, "select 1, 1", "select a1", "select - 1"} {
		form, _, ok := new(shaper).shape(sql)
		if !ok {
			t.Fatalf("%q has no shape", sql)
		}
		if other, twice := seen[string(form)]; twice {
			t.Errorf("%q and %q have one shape", sql, other)
		}
		seen[string(form)] = sql
	}
}

// FuzzAlike changes the constants of a text and compares what the cache answers
// after it has seen the original with a fresh analysis.
func FuzzAlike(f *testing.F) {
	for _, tt := range alikeTexts {
		f.Add(tt.first, uint8(1))
		f.Add(tt.second, uint8(2))
	}
	f.Fuzz(func(t *testing.T, sql string, pick uint8) {
		other := reconstant(sql, pick)
		form, n, ok := new(shaper).shape(sql)
		form2, n2, ok2 := new(shaper).shape(other)
		if !ok || !ok2 || n != n2 || string(form) != string(form2) {
			return
		}
		c, s := NewCache(Config{}), people()
		c.Analyze(sql, s, 1)
		if diff := cmp.Diff(Analyze(other, s), unlike(c.Analyze(other, s, 1))); diff != "" {
			t.Errorf("after %q, %q is remembered wrong:\n%s", sql, other, diff)
		}
	})
}

// reconstant puts other digits and letters where a text has some within constants.
func reconstant(sql string, pick uint8) string {
	digit, text := string('0'+rune(pick%10)), []string{"%", "t", "f", "", "0", "search_path"}[pick%6]
	var b strings.Builder
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		switch {
		case c == '\'':
			end := strings.IndexByte(sql[i+1:], '\'')
			if end < 0 {
				return sql
			}
			b.WriteString("'" + text + "'")
			i += end + 1
		case c >= '0' && c <= '9' && (i == 0 || !letter(sql[i-1]) && sql[i-1] != '$'):
			b.WriteString(digit)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// TestLineageCasesShareNothingWrong runs the proven cases with other constants.
func TestLineageCasesShareNothingWrong(t *testing.T) {
	s, tried := people(), 0
	for _, tt := range readCases(t) {
		sql := tt.SQL
		for pick := range uint8(6) {
			other := reconstant(sql, pick)
			c := NewCache(Config{})
			c.Analyze(sql, s, 1)
			got := c.Analyze(other, s, 1)
			if got[0].Like == nil {
				continue
			}
			tried++
			if diff := cmp.Diff(Analyze(other, s), unlike(got)); diff != "" {
				t.Errorf("after %q, %q is remembered wrong:\n%s", sql, other, diff)
			}
		}
	}
	if tried == 0 {
		t.Error("no case of the corpus was shared")
	}
}
