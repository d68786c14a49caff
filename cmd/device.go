package cmd

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"rsc.io/qr"

	"github.com/sluicehq/sluice/client"
)

// headless says that a browser on this machine would open where nobody sees it, or not
// at all.
func (a *app) headless() bool {
	if a.env("BROWSER") != "" {
		return false // somebody has said what to open
	}
	shown := a.env("DISPLAY") != "" || a.env("WAYLAND_DISPLAY") != ""
	remote := a.env("SSH_CONNECTION") != "" || a.env("SSH_TTY") != ""
	switch runtime.GOOS {
	case "darwin", "windows":
		return remote
	}
	return !shown && a.env("WSL_DISTRO_NAME") == ""
}

// showDevice shows the person where to log in, and with what code.
func (a *app) showDevice(d client.DeviceCode) {
	var text strings.Builder
	fmt.Fprintf(&text, "log in on any device with a browser:\n\n  %s\n  code  %s\n\n", clean(d.URL), a.paint("1", clean(d.Code)))
	if d.Complete != "" {
		if picture := a.picture(d.Complete); picture != "" {
			text.WriteString(picture + "\n")
		} else {
			fmt.Fprintf(&text, "or open the address with the code in it:\n\n  %s\n\n", clean(d.Complete))
		}
	}
	if !d.Expires.IsZero() {
		fmt.Fprintf(&text, "the code is good until %s; only enter it if you have just run this command yourself\n", d.Expires.Local().Format("15:04"))
	}
	fmt.Fprint(a.err, text.String())
}

// picture is text as a QR code, if standard error is a terminal that it fits into.
func (a *app) picture(text string) string {
	f, ok := a.err.(*os.File)
	if !ok || !isTerminal(f) {
		return ""
	}
	lines := qrLines(text, a.color)
	if len(lines) == 0 {
		return ""
	}
	width, height := terminalSize(f)
	if width < qrWidth(text) || height < len(lines) {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// quiet is the border that cameras look for, in modules: the standard asks for four,
// all of today's find a code with two.
const quiet = 2

func qrWidth(text string) int {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return 0
	}
	return code.Size + 2*quiet
}

// qrLines draws text, two rows of modules in a line of text. Light is drawn, because most
// terminals are dark; with colours it is black on white everywhere. Nothing for a text
// that no QR code holds.
func qrLines(text string, colors bool) []string {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return nil
	}
	end := code.Size + quiet
	light := func(x, y int) bool { return !code.Black(x, y) } // outside of it all is light
	var lines []string
	for y := -quiet; y < end; y += 2 {
		var line strings.Builder
		for x := -quiet; x < end; x++ {
			upper, lower := light(x, y), light(x, y+1) && y+1 < end
			switch {
			case upper && lower:
				line.WriteRune('█')
			case upper:
				line.WriteRune('▀')
			case lower:
				line.WriteRune('▄')
			default:
				line.WriteRune(' ')
			}
		}
		text := line.String()
		if colors {
			text = "\x1b[97;40m" + text + "\x1b[0m" // bright white is the light, black the dark
		}
		lines = append(lines, text)
	}
	return lines
}
