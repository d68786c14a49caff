package tui

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClean(t *testing.T) {
	tests := []struct{ attack, in, want string }{
		{"plain text, kept", "SELECT 'ä€日'\n", "SELECT 'ä€日'\n"},
		{"escape sequence around a statement", "'\x1b]0;'; DROP TABLE t; --\x07'", "'␛]0;'; DROP TABLE t; --␇'"},
		{"clear screen by a C1 control", "\u009b2J", "�2J"},
		{"backspaces over a word", "DROP\b\b\b\bTEST", "DROP␈␈␈␈TEST"},
		{"text from right to left", "a\u202eb\u2066c", "a�b�c"},
		{"zero width and no-break spaces", "a\u200bb\u00a0c\ufeff", "a�b�c�"},
		{"a return that ends a comment", "-- x\rDROP TABLE t", "-- x␍\nDROP TABLE t"},
		{"line ends of Windows", "a\r\nb", "a\nb"},
		{"a tab", "a\tb", "a    b"},
		{"bytes that are no text", "a\xff\xc3b", "a��b"},
		{"line separator", "a\u2028b\u0085c", "a�b�c"},
		{"NUL and DEL", "\x00\x7f", "␀␡"},
	}
	for _, tt := range tests {
		if got := clean(tt.in); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.attack, got, tt.want)
		}
	}
	if got := line("a\nb"); got != "a␊b" {
		t.Errorf("a line with a line end is %q", got)
	}
}

// A word that runs must not be coloured as a string or comment.
func TestColourDoesNotMislead(t *testing.T) {
	for _, sql := range []string{
		`SELECT 'a''b'; DROP TABLE t`, `SELECT E'\''; DROP TABLE t; --'`, `/* a /* b */ c */ DROP TABLE t`,
		"-- x\nDROP TABLE t", `SELECT $$ ' $$; DROP TABLE t; --'`, `SELECT $a$ $$ ' $a$; DROP TABLE t`, `SELECT a$b; DROP TABLE t; SELECT $b`,
		`SELECT "'"; DROP TABLE t; --'`,
	} {
		at := strings.Index(sql, "DROP")
		if c := classify(sql)[at].c; c != keyword {
			t.Errorf("%s: DROP is of class %d", sql, c)
		}
	}
	for _, sql := range []string{`SELECT 'DROP'`, `-- DROP`, `/* /* */ DROP */`, `SELECT E'\'DROP'`, `SELECT $$DROP$$`} {
		at := strings.Index(sql, "DROP")
		if c := classify(sql)[at].c; c == keyword {
			t.Errorf("%s: DROP is shown as a keyword", sql)
		}
	}
}

func TestNoteLines(t *testing.T) {
	note := "paste this:\npsql 'postgres://ana@localhost:5433/orders' -c 'SELECT 1' --no-psqlrc"
	want := []string{"paste this:", `psql 'postgres://ana@localhost:5433/orders' -c \`, "'SELECT 1' --no-psqlrc"}
	if diff := cmp.Diff(want, noteLines(note, 57)); diff != "" {
		t.Error(diff)
	}
}

// Laying a statement out changes spaces only, and none in strings, names and comments.
func TestLayoutKeepsEveryWord(t *testing.T) {
	for _, sql := range []string{
		`SELECT a, b FROM t LEFT JOIN u ON t.id = u.id AND t.x = 'FROM  WHERE' WHERE a BETWEEN 1 AND 2 AND b = "WHERE x" OR c IN (SELECT d FROM e WHERE f = 1) GROUP BY a ORDER BY b LIMIT 3`,
		`DELETE FROM customers WHERE id = 1 /* AND FROM here */ AND name = $$ WHERE $$`, `INSERT INTO t (a, b) SELECT 1, 2 FROM u ON CONFLICT DO UPDATE SET a = 3 RETURNING a`,
		`UPDATE customers SET street = 'a  b', city = 'x' WHERE id = 42 AND zip = '12  345' -- FROM the end WHERE it stops`, strings.Repeat("select ", 50),
	} {
		got := plainText(layOut(classify(sql), 20))
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(sql), " ") || !strings.Contains(got, "\n") {
			t.Errorf("%q became\n%s", sql, got)
		}
		for _, kept := range []string{"'FROM  WHERE'", `"WHERE x"`, "/* AND FROM here */", "$$ WHERE $$", "'a  b'", "'12  345'", "-- FROM the end WHERE it stops", "BETWEEN 1 AND 2", "DELETE FROM", "LEFT JOIN", "DO UPDATE"} {
			if strings.Contains(sql, kept) && !strings.Contains(got, kept) {
				t.Errorf("%q is broken in\n%s", kept, got)
			}
		}
	}
	want := "SELECT a\nFROM t\nWHERE x = 1\n  AND y = 2"
	if got := plainText(layOut(classify("SELECT a FROM t WHERE x = 1 AND y = 2"), 10)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, sql := range []string{"select 1 from t", "select 1\nfrom t where a = 1 and b = 2 and c = 3"} {
		if got := plainText(layOut(classify(sql), 20)); got != sql {
			t.Errorf("%q became %q", sql, got)
		}
	}
}

func FuzzShown(f *testing.F) {
	for _, s := range []string{hostile, "SELECT 'a' FROM t WHERE b = $1 AND c BETWEEN 1 AND 2", "\x1b[2J", "E'\\", "$a$", "/*/*", "日本語 FROM x WHERE \u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := clean(s)
		for _, r := range text {
			if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u200b\u200e\u202a\u202e\u2066\ufeff", r)) {
				t.Fatalf("%U is shown", r)
			}
		}
		cells := classify(text)
		if got := plainText(cells); got != text {
			t.Fatalf("classified as %q, of %q", got, text)
		}
		laid := plainText(layOut(cells, 30))
		if strings.Join(strings.Fields(laid), " ") != strings.Join(strings.Fields(text), " ") {
			t.Fatalf("laid out as %q, of %q", laid, text)
		}
		n := 0
		for _, l := range wrapCells(cells, 20) {
			n += len(l)
		}
		if want := len(cells) - strings.Count(text, "\n"); n != want {
			t.Fatalf("%d cells after wrapping, of %d", n, want)
		}
	})
}
