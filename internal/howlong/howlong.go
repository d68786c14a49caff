// Package howlong writes durations as people do.
package howlong

import (
	"strconv"
	"time"
)

const day = 24 * time.Hour

// units are those that people count in, the largest first, and from when on: up to two
// minutes are seconds, up to two days hours.
var units = []struct {
	name string
	one  time.Duration
	from time.Duration
}{{"d", day, 2 * day}, {"h", time.Hour, time.Hour}, {"m", time.Minute, 2 * time.Minute}}

// Text is a duration with nothing left out but parts that are zero: 7d, 36h, 1h30m, 90s,
// 1.5s, 250ms.
func Text(d time.Duration) string {
	if d < 0 {
		return "-" + Text(-d)
	}
	if d == time.Minute {
		return "1m"
	}
	text := ""
	for _, u := range units {
		if n := d / u.one; n > 0 && (text != "" || d >= u.from) {
			text += strconv.FormatInt(int64(n), 10) + u.name
			d -= n * u.one
		}
	}
	switch {
	case d == 0 && text != "":
		return text
	case d >= time.Minute: // less than two, of which String would make minutes
		return text + strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
	}
	return text + d.String()
}

// About is Text to what matters: what is over an hour to the minute, over a minute to the
// second, and what is shorter to three digits.
func About(d time.Duration) string {
	size := d.Abs()
	switch {
	case size >= 2*day:
		return Text(d.Round(time.Hour))
	case size >= time.Hour:
		return Text(d.Round(time.Minute))
	case size >= time.Minute:
		return Text(d.Round(time.Second))
	}
	for digits := time.Duration(1); digits < time.Second; digits *= 10 {
		if size < 1000*digits {
			return Text(d.Round(digits))
		}
	}
	return Text(d.Round(100 * time.Millisecond))
}
