package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Charts are SVG within the page. Here are only numbers and places; the template writes
// the marks, and escapes what callers wrote.

// bar is one piece of a column chart.
type bar struct {
	X, Y, W, H float64
	Class      string
	Title      string
}

// tick is a line with a number at the side, or a day below.
type tick struct {
	At   float64
	Text string
}

// columns is a chart of stacked columns over time.
type columns struct {
	W, H   float64
	Bars   []bar
	Left   []tick
	Below  []tick
	Unit   string // "day", "week"
	Totals Day
}

const (
	chartWidth, chartHeight = 720.0, 200.0
	chartLeft, chartBelow   = 56.0, 22.0
	// maxColumns is how many columns are still told apart on paper.
	maxColumns = 100
)

// timeline draws statements over time, by the day or, for longer periods, by the week
// or the month of four weeks.
func timeline(days []Day, since, until time.Time) columns {
	c := columns{W: chartWidth, H: chartHeight, Unit: "day"}
	first := since.UTC().Truncate(24 * time.Hour)
	span := int(math.Ceil(until.Sub(first).Hours() / 24))
	each := 1
	switch {
	case span > 7*maxColumns:
		each, c.Unit = 28, "four weeks"
	case span > maxColumns:
		each, c.Unit = 7, "week"
	}
	n := max((span+each-1)/each, 1)
	sums := make([]Day, n)
	for i := range sums {
		sums[i].Day = first.AddDate(0, 0, i*each)
	}
	for _, d := range days {
		i := int(d.Day.Sub(first).Hours()/24) / each
		if i < 0 || i >= n {
			continue
		}
		sums[i].Allow, sums[i].Hold, sums[i].Deny = sums[i].Allow+d.Allow, sums[i].Hold+d.Hold, sums[i].Deny+d.Deny
		c.Totals.Allow, c.Totals.Hold, c.Totals.Deny = c.Totals.Allow+d.Allow, c.Totals.Hold+d.Hold, c.Totals.Deny+d.Deny
	}
	var most int64 = 1
	for _, d := range sums {
		most = max(most, d.Allow+d.Hold+d.Deny)
	}
	top := niceTop(most)
	room := chartHeight - chartBelow - 8
	y := func(v int64) float64 { return 8 + room*(1-float64(v)/float64(top)) }
	for i := range 5 {
		v := top * int64(i) / 4
		c.Left = append(c.Left, tick{y(v), thousands(v)})
	}
	width := (chartWidth - chartLeft) / float64(n)
	for i, d := range sums {
		x, below := chartLeft+width*float64(i), int64(0)
		for _, part := range []struct {
			n     int64
			class string
		}{{d.Allow, "allow"}, {d.Hold, "hold"}, {d.Deny, "deny"}} {
			if part.n == 0 {
				continue
			}
			h := max(y(below)-y(below+part.n), 1.5) // what is there is seen
			c.Bars = append(c.Bars, bar{X: x + width*0.1, Y: y(below) - h, W: width * 0.8, H: h, Class: part.class,
				Title: fmt.Sprintf("%s: %s %s", d.Day.Format(time.DateOnly), thousands(part.n), part.class)})
			below += part.n
		}
		if every := (n + 7) / 8; i%every == 0 && x < chartWidth-50 {
			c.Below = append(c.Below, tick{x + width*0.1, d.Day.Format("2 Jan")})
		}
	}
	return c
}

// niceTop is a round number of which a quarter is one too.
func niceTop(v int64) int64 {
	for scale := int64(4); ; scale *= 10 {
		for _, f := range []int64{1, 2, 5} {
			if scale*f >= v {
				return scale * f
			}
		}
	}
}

// line is one line of a chart of lying bars.
type line struct {
	Y      float64
	Label  string
	Bars   []bar
	Number string
}

// lying is a chart of bars beside names.
type lying struct {
	W, H  float64
	Lines []line
	More  int // lines that there is no room for
}

// part is a piece of a lying bar.
type part struct {
	n     int64
	class string
}

const (
	lyingLeft, lyingRight, lyingLine = 230.0, 130.0, 20.0
	maxLying                         = 12
)

// lyingBars draws the largest of some numbers, each in parts.
func lyingBars(names []string, parts func(string) []part, number func(string) string) lying {
	total := func(name string) (n int64) {
		for _, p := range parts(name) {
			n += p.n
		}
		return n
	}
	names = slices.Clone(names)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(total(b), total(a)), cmp.Compare(a, b)) })
	c := lying{W: chartWidth, More: max(0, len(names)-maxLying)}
	names = names[:len(names)-c.More]
	c.H = lyingLine * float64(len(names))
	var most int64 = 1
	if len(names) > 0 {
		most = max(most, total(names[0]))
	}
	room := chartWidth - lyingLeft - lyingRight
	for i, name := range names {
		l := line{Y: lyingLine * float64(i), Label: shorten(clean(name), 34), Number: number(name)}
		x := lyingLeft
		for _, p := range parts(name) {
			if p.n == 0 {
				continue
			}
			w := max(room*float64(p.n)/float64(most), 1)
			l.Bars = append(l.Bars, bar{X: x, Y: l.Y + 3, W: w, H: lyingLine - 7, Class: p.class, Title: fmt.Sprintf("%s: %s", clean(name), thousands(p.n))})
			x += w
		}
		c.Lines = append(c.Lines, l)
	}
	return c
}

// thousands writes a number with spaces that do not break.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	if n < 0 {
		return s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// shorten cuts a text to so many runes.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
