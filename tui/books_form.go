package tui

import (
	"context"
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/runbook"
)

// bookForm asks for the values of a runbook's parameters, and why it is run. Each value is
// judged while it is typed, by the runbook's own rules.
type bookForm struct {
	book   Book
	fields []bookField
	at     int // of fields
	asking bool
}

// bookField is one value. The last of a form is the reason, which is of no parameter.
type bookField struct {
	param   *runbook.Parameter
	choices []string // what it may be; nil for anything
	input   textinput.Model
	touched bool
}

// maxTyped is how much of one value is typed: longer ones come in files, to sluice runbook.
const maxTyped = 4000

// clockedInput is an input line as the screen has them.
func (m *model) clockedInput() textinput.Model {
	in := m.input
	in.Reset()
	in.CharLimit = maxTyped
	return in
}

func newBookForm(b Book, input func() textinput.Model) *bookForm {
	f := &bookForm{book: b}
	for i := range b.Parameters {
		p := &b.Parameters[i]
		field := bookField{param: p, choices: p.Choices, input: input()}
		if p.Type == runbook.Boolean && len(field.choices) == 0 {
			field.choices = []string{"true", "false"}
		}
		switch {
		case p.Default != nil:
			field.input.SetValue(*p.Default)
		case p.Optional:
			field.input.Placeholder = "empty is NULL"
		case p.Example != "":
			field.input.Placeholder = "such as " + line(p.Example)
		}
		f.fields = append(f.fields, field)
	}
	why := bookField{input: input()}
	why.input.CharLimit, why.input.Placeholder = maxReason, "for approvers and the record"
	f.fields = append(f.fields, why)
	f.focus(0)
	return f
}

func (f *bookForm) focus(at int) {
	f.fields[f.at].input.Blur()
	f.at = max(0, min(at, len(f.fields)-1))
	f.fields[f.at].input.Focus()
	f.fields[f.at].input.CursorEnd()
}

// wrong is why what stands in a field cannot be its value; "" is that it can.
func (x *bookField) wrong(ahead bool) string {
	v := x.input.Value()
	switch {
	case x.param == nil && ahead && strings.TrimSpace(v) == "":
		return "what is asked for ahead of time needs a reason"
	case x.param == nil, v == "" && x.param.Optional:
		return ""
	case v == "" && x.param.Default == nil:
		return "it must be given"
	}
	return x.param.Check(v)
}

// values are what was typed; an empty one that may be left out is left out.
func (f *bookForm) values() map[string]any {
	out := map[string]any{}
	for i := range f.fields {
		if x := &f.fields[i]; x.param != nil && x.input.Value() != "" {
			out[x.param.Name] = x.input.Value()
		}
	}
	return out
}

// formKey is a key while parameters are typed. None of them runs anything.
func (m *model) formKey(msg tea.KeyMsg) (tea.Cmd, bool) {
	f := m.books.form
	field := &f.fields[f.at]
	if !msg.Paste {
		switch msg.Type {
		case tea.KeyCtrlC:
			return nil, false
		case tea.KeyEsc:
			m.bookGoes(listing)
			return nil, true
		case tea.KeyUp, tea.KeyShiftTab:
			f.focus(f.at - 1)
			return nil, true
		case tea.KeyDown, tea.KeyTab:
			f.focus(f.at + 1)
			return nil, true
		case tea.KeyLeft, tea.KeyRight:
			if len(field.choices) > 0 {
				field.choose(msg.Type == tea.KeyRight)
				return nil, true
			}
		case tea.KeyEnter:
			if f.at < len(f.fields)-1 {
				field.touched = true
				f.focus(f.at + 1)
				return nil, true
			}
			return m.askPlan(), true
		default:
		}
	}
	field.touched = true
	m.status = ""
	was := m.input
	m.input = field.input
	cmd := m.write(msg)
	m.input, field.input = was, m.input
	return cmd, true
}

// choose goes on to the next choice, or back.
func (x *bookField) choose(next bool) {
	i, n := slices.Index(x.choices, x.input.Value()), len(x.choices)
	switch {
	case i < 0 && next:
		i = 0
	case i < 0:
		i = n - 1
	case next:
		i = (i + 1) % n
	default:
		i = (i + n - 1) % n
	}
	x.touched = true
	x.input.SetValue(x.choices[i])
	x.input.CursorEnd()
}

// askPlan has the gateway say what would run, if every value is one.
func (m *model) askPlan() tea.Cmd {
	b, f := m.books, m.books.form
	for i := range f.fields {
		f.fields[i].touched = true
	}
	for i := range f.fields {
		if f.fields[i].wrong(f.book.Approvals.Ahead) != "" {
			f.focus(i)
			return nil
		}
	}
	bound, err := f.book.Bind(f.values())
	if err != nil {
		m.say(true, "%s", line(err.Error()))
		return nil
	}
	if m.lost != "" {
		m.say(true, "there is no link to the gateway")
		return nil
	}
	b.bound, b.reason = bound, strings.TrimSpace(f.fields[len(f.fields)-1].input.Value())
	b.turn++
	f.asking, m.status = true, ""
	turn, shelf, book := b.turn, b.shelf, f.book
	return m.do(func(ctx context.Context) tea.Msg {
		msg := planMsg{turn: turn}
		msg.plan, msg.err = shelf.Plan(ctx, book, bound)
		return msg
	})
}
