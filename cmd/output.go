package cmd

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
)

// format is how a command prints what it lists.
type format struct{ name string }

// addFormat gives a command its -o flag.
func addFormat(c *cobra.Command, f *format, names ...string) {
	f.name = names[0]
	c.Flags().VarP(&formatFlag{f, names}, "output", "o", "output format: "+strings.Join(names, ", "))
	// The only error is a flag that does not exist, and it was just made.
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

type formatFlag struct {
	f     *format
	names []string
}

func (v *formatFlag) String() string { return v.f.name }
func (v *formatFlag) Type() string   { return "format" }
func (v *formatFlag) Set(s string) error {
	for _, name := range v.names {
		if s == name {
			v.f.name = s
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(v.names, ", "))
}

// table is a list for people and spreadsheets; value is the same for programs,
// a slice where the format jsonl is offered.
type table struct {
	head  []string
	rows  [][]string
	value any
}

// print writes t as f says.
func (f *format) print(w io.Writer, t table) error {
	switch f.name {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(t.value)
	case "jsonl":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		list := reflect.ValueOf(t.value)
		for i := range list.Len() {
			if err := enc.Encode(list.Index(i).Interface()); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		out := csv.NewWriter(w)
		if err := out.Write(t.head); err != nil {
			return err
		}
		return out.WriteAll(t.rows)
	}
	return t.print(w)
}

// print writes columns side by side. Text that came from elsewhere is cleaned, so
// that it cannot move the cursor or hide what stands beside it.
func (t table) print(w io.Writer) error {
	width := make([]int, len(t.head))
	rows := append([][]string{t.head}, t.rows...)
	for r, row := range rows {
		rows[r] = make([]string, len(row))
		for i, cell := range row {
			rows[r][i] = clean(cell)
			width[i] = max(width[i], ansi.StringWidth(rows[r][i]))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i+1 < len(row) {
				line.WriteString(strings.Repeat(" ", width[i]-ansi.StringWidth(cell)+2))
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// clean makes text from elsewhere fit for one line of a terminal: no escape
// sequences, no control characters, no characters that turn the direction of text.
func clean(s string) string {
	s = ansi.Strip(s)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError,
			r >= 0x200e && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, s)
}

// short cuts text to at most n columns.
func short(s string, n int) string { return ansi.Truncate(clean(s), n, "…") }
