package tui

import "github.com/charmbracelet/lipgloss"

// theme is how things look. It uses the terminal's own sixteen colours, so that it
// fits light and dark screens; without colour, words and signs say the same.
type theme struct {
	title, tab, label, faint lipgloss.Style
	selected, mark           lipgloss.Style
	good, bad, warn, alarm   lipgloss.Style
	key                      lipgloss.Style
	sql                      [classes]lipgloss.Style
}

func newTheme(r *lipgloss.Renderer) theme {
	color := func(c string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(c)) }
	t := theme{
		title:    color("6").Bold(true),
		tab:      r.NewStyle().Bold(true).Underline(true),
		label:    r.NewStyle().Faint(true),
		faint:    r.NewStyle().Faint(true),
		selected: r.NewStyle().Bold(true),
		mark:     color("6"),
		good:     color("2"),
		bad:      color("1"),
		warn:     color("3"),
		alarm:    color("1").Reverse(true).Bold(true),
		key:      r.NewStyle().Bold(true),
	}
	t.sql = [classes]lipgloss.Style{
		plain:   r.NewStyle(),
		keyword: color("4").Bold(true),
		literal: color("2"),
		comment: r.NewStyle().Faint(true),
		strange: color("1").Reverse(true),
		warning: color("3"),
		faded:   r.NewStyle().Faint(true),
	}
	return t
}
