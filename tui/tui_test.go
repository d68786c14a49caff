package tui

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"github.com/muesli/termenv"
)

var update = flag.Bool("update", false, "rewrite the expected screens")

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func sample() State {
	return State{
		Me: "bo@example.com",
		Sessions: []Session{
			{ID: "s1", Who: "ana@example.com", WhoKind: "person", Connection: "orders", Client: "psql", Doing: "held", SQL: "UPDATE customers SET street = $1 WHERE id = $2", Since: now.Add(-time.Hour)},
			{ID: "s2", Who: "deploy", WhoKind: "job", Connection: "billing", Client: "sluice exec", Doing: "idle", SQL: "SELECT 1", Since: now.Add(-90 * time.Second)},
		},
		Asks: []Ask{
			{
				ID: "k7f2q", Who: "ana@example.com", WhoKind: "person", Connection: "orders", Session: "s1", Kind: "update",
				SQL:    "-- moved house\nUPDATE customers\n   SET street = $1\n WHERE id = $2 AND city IN (SELECT city FROM cities WHERE zip BETWEEN 10000 AND 20000 ORDER BY name)",
				Params: []string{"12 Elm St", "42"}, Rule: "writes-need-a-second-person", Reason: "changes of production data need a second person",
				Needs: []Need{{Groups: []string{"dba"}, Count: 1}}, Created: now.Add(-12 * time.Second), Deadline: now.Add(48 * time.Second),
			},
			{
				ID: "m3xpa", Who: "deploy", WhoKind: "job", Connection: "billing", Session: "s2", Kind: "copy_from",
				SQL: "COPY invoices FROM STDIN", Rule: "two-for-billing", Reason: "two people look at billing",
				Needs: []Need{{Groups: []string{"dba", "security"}, Count: 2, Have: 1}, {Groups: []string{"billing"}, Count: 1}},
				Votes: []Vote{{Who: "cy@example.com", Grant: true}}, Created: now.Add(-200 * time.Second), Deadline: now.Add(9 * time.Second),
			},
			{
				ID: "p9wzn", Who: "bo@example.com", WhoKind: "person", Connection: "orders", Session: "s3",
				SQL: hostile, Rule: "unknown-effect", Reason: "what this would do cannot be told from its text, so a second person looks at it first",
				Needs: []Need{{Groups: []string{"dba"}, Count: 1}}, Refusal: "it is your own", Created: now.Add(-time.Second), Deadline: now.Add(time.Hour),
			},
		},
	}
}

// hostile hides its second statement from whoever drops escape sequences, turns the
// direction of writing, moves the cursor, and ends a comment with a lone return.
const hostile = "SELECT '\x1b]0;'; DROP TABLE users; --\x07'\n\u202eevil\u2066 \u009b2J\x1b[1A\x08\u200b-- c\rTRUNCATE users"

func testModel(width, height int) model {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.Ascii)
	m := newModel(Options{Note: "psql 'postgres://ana:secret@localhost:5433/orders'"}, newTheme(r))
	m.decide = func(a Answer) tea.Cmd {
		return func() tea.Msg { return decidedMsg{id: a.ID, grant: a.Grant} }
	}
	return play(m, tea.WindowSizeMsg{Width: width, Height: height}, tickMsg(now))
}

// play is the model after msgs; what its commands would do is not run.
func play(m model, msgs ...tea.Msg) model {
	for _, msg := range msgs {
		next, _ := m.Update(msg)
		m = next.(model)
	}
	return m
}

// keys are key presses by name.
func keys(names ...string) []tea.Msg {
	special := map[string]tea.KeyType{"enter": tea.KeyEnter, "esc": tea.KeyEsc, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown, "space": tea.KeySpace}
	var msgs []tea.Msg
	for _, n := range names {
		if k, ok := special[n]; ok {
			msg := tea.KeyMsg{Type: k}
			if k == tea.KeySpace {
				msg.Runes = []rune{' '}
			}
			msgs = append(msgs, msg)
			continue
		}
		msgs = append(msgs, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(n)})
	}
	return msgs
}

func TestScreens(t *testing.T) {
	tests := []struct {
		name string
		msgs []tea.Msg
	}{
		{"start", nil},
		{"empty", []tea.Msg{stateMsg{Me: "bo@example.com"}}},
		{"list", []tea.Msg{stateMsg(sample())}},
		{"scrolled", append([]tea.Msg{stateMsg(sample())}, keys("space")...)},
		{"approve", append([]tea.Msg{stateMsg(sample())}, keys("a")...)},
		{"deny", append([]tea.Msg{stateMsg(sample())}, keys("d", "n", "o", "space", "q", "?")...)},
		{"quorum", append([]tea.Msg{stateMsg(sample())}, keys("down")...)},
		{"own", append([]tea.Msg{stateMsg(sample())}, keys("j", "j", "a")...)},
		{"approved", append(append([]tea.Msg{stateMsg(sample())}, keys("a", "y")...), decidedMsg{id: "k7f2q", grant: true}, stateMsg{Me: "bo@example.com", Asks: sample().Asks[1:]})},
		{"refused", append(append([]tea.Msg{stateMsg(sample())}, keys("a", "enter")...), decidedMsg{id: "k7f2q", grant: true, err: errors.New("not in a group\x1b[2J that may answer")})},
		{"sessions", append([]tea.Msg{stateMsg(sample())}, keys("tab", "down")...)},
		{"help", append([]tea.Msg{stateMsg(sample())}, keys("?")...)},
		{"lost", []tea.Msg{stateMsg(sample()), lostMsg{err: errors.New("connection reset"), retry: 2 * time.Second}}},
	}
	for _, size := range [][2]int{{80, 24}, {120, 40}} {
		for _, tt := range tests {
			name := fmt.Sprintf("%s-%dx%d", tt.name, size[0], size[1])
			t.Run(name, func(t *testing.T) {
				got := play(testModel(size[0], size[1]), tt.msgs...).View()
				checkFrame(t, got, size[0], size[1])
				golden(t, name, trimRight(got))
			})
		}
	}
}

// checkFrame holds for every screen whatever is on it.
func checkFrame(t *testing.T, view string, width, height int) {
	t.Helper()
	lines := strings.Split(view, "\n")
	if len(lines) != height {
		t.Errorf("%d lines, want %d", len(lines), height)
	}
	for i, l := range lines {
		if w := ansi.StringWidth(l); w > width {
			t.Errorf("line %d is %d wide: %q", i+1, w, l)
		}
	}
	for _, r := range view {
		if r != '\n' && (r < ' ' || (r >= 0x7f && r < 0xa0) || strings.ContainsRune("\u200b\u202e\u2066", r)) {
			t.Errorf("%U reached the screen", r)
		}
	}
}

func trimRight(view string) string {
	lines := strings.Split(view, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// Any size, also absurd ones, gives a frame of that size.
func TestEverySize(t *testing.T) {
	for _, width := range []int{0, 1, 39, 40, 57, 80, 300} {
		for _, height := range []int{0, 1, 11, 12, 13, 50} {
			m := testModel(width, height)
			for _, msgs := range [][]tea.Msg{{stateMsg(sample())}, keys("a", "space", "esc"), keys("d", "x", "esc", "down"), keys("tab", "?")} {
				m = play(m, msgs...)
				if width >= minWidth && height >= minHeight {
					checkFrame(t, m.View(), width, height)
				}
			}
		}
	}
}

// The statement under the finger is chosen by its id, not by its place.
func TestListMovesUnderTheFinger(t *testing.T) {
	s := sample()
	m := play(testModel(80, 24), stateMsg(s))
	m = play(m, keys("down", "a")...)
	newcomer := Ask{ID: "aaaaa", SQL: "DROP TABLE users"}
	s.Asks = append([]Ask{newcomer}, s.Asks...)
	m = play(m, stateMsg(s))
	if m.mode != approving || m.chosen().ID != "m3xpa" {
		t.Fatalf("mode %d on %s", m.mode, m.chosen().ID)
	}
	// It ends while the question stands: the answer must not go to its neighbour.
	s.Asks = []Ask{newcomer}
	m = play(m, stateMsg(s))
	next, cmd := m.Update(keys("y")[0])
	if m.mode != browsing || cmd != nil || next.(model).sent != "" || !strings.Contains(m.status, "m3xpa is over") {
		t.Errorf("mode %d, sent %q, status %q", m.mode, next.(model).sent, m.status)
	}
}

// Letters that arrive in one piece are a pasted text, never an approval.
func TestPasteDoesNotApprove(t *testing.T) {
	for _, msg := range []tea.KeyMsg{
		{Type: tea.KeyRunes, Runes: []rune("ay")},
		{Type: tea.KeyRunes, Runes: []rune("a"), Paste: true},
		{Type: tea.KeyRunes, Runes: []rune("aa")},
	} {
		m := play(testModel(80, 24), stateMsg(sample()), msg)
		if m.mode != browsing || m.sent != "" {
			t.Errorf("%q: mode %d, sent %q", msg, m.mode, m.sent)
		}
	}
	m := play(testModel(80, 24), stateMsg(sample()), tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("jj")})
	if m.ask != "p9wzn" {
		t.Errorf("a held j went to %s", m.ask)
	}
}

func TestOnlyOneAnswerAtATime(t *testing.T) {
	m := play(testModel(80, 24), append([]tea.Msg{stateMsg(sample())}, keys("a", "y", "down", "a")...)...)
	if m.mode != browsing || m.sent != "k7f2q" || !m.failed {
		t.Errorf("mode %d, sent %q, status %q", m.mode, m.sent, m.status)
	}
}

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
