package howlong

import (
	"testing"
	"time"
)

func TestDurationsAreWrittenAsPeopleDo(t *testing.T) {
	const (
		s = time.Second
		m = time.Minute
		h = time.Hour
	)
	for d, want := range map[time.Duration]string{
		0: "0s", 168 * h: "7d", 24 * h: "24h", 36 * h: "36h", 48 * h: "2d", 76 * h: "3d4h", 90 * s: "90s", m: "1m", 119 * s: "119s", 2 * m: "2m", 150 * s: "2m30s", 15 * m: "15m", 59 * m: "59m",
		h: "1h", 90 * m: "1h30m", h + s: "1h1s", h + m: "1h1m", 8 * h: "8h", -90 * m: "-1h30m", 1500 * time.Millisecond: "1.5s", 250 * time.Millisecond: "250ms", 830 * time.Microsecond: "830µs", 400 * 24 * h: "400d",
		time.Nanosecond: "1ns", 90*s + 500*time.Millisecond: "90.5s",
	} {
		if got := Text(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 3*24*h + 4*h + 29*m: "3d4h", 23*h + 59*m + 59*s: "24h", 14*m + 59*s + 700*time.Millisecond: "15m", 47*s + 812*time.Millisecond: "47.8s", 1234567 * time.Nanosecond: "1.23ms", 830 * time.Microsecond: "830µs",
		999 * time.Millisecond: "999ms", 59*m + 59*s + 999*time.Millisecond: "1h", -47*s - 812*time.Millisecond: "-47.8s",
	} {
		if got := About(d); got != want {
			t.Errorf("about %s is %q, want %q", d, got, want)
		}
	}
}
