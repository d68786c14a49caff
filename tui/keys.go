package tui

import tea "github.com/charmbracelet/bubbletea"

// intent is what a key asks for. Keys are looked up here and nowhere else.
type intent int

const (
	nothing intent = iota
	quit
	up
	down
	top
	bottom
	pageUp
	pageDown
	nextTab
	lastTab
	toTab1
	toTab2
	toTab3
	toTab4
	toTab5
	toTab6
	open
	back
	approve
	deny
	glass
	preview
	kill
	watch
	endRequest
	history
	shapeHistory
	showPolicy
	search
	layout
	mouse
	dismiss
	reload
	help
	confirm
	replayIt
	playPause
	stepOn
	stepBack
	faster
	slower
	jumpTime
)

// mode is what the keyboard is for at the moment.
type mode int

const (
	browsing  mode = iota
	answering      // has a question below, which enter answers
	searching      // has words to look for
	helping
	replaying // a session of the record
	jumping   // has a time to go to in it
)

// intentOf is the meaning of a key in a mode. In the modes that take text what is not
// here goes into the text.
func intentOf(in mode, key string) intent {
	if key == "ctrl+c" {
		return quit
	}
	switch in {
	case browsing:
		return browseKeys[key]
	case answering, searching, jumping:
		return textKeys[key]
	case replaying:
		return replayKeys[key]
	}
	return back // any key leaves the help
}

var browseKeys = map[string]intent{
	"q": quit, "up": up, "k": up, "down": down, "j": down, "home": top, "g": top, "end": bottom, "G": bottom,
	"pgup": pageUp, "b": pageUp, "ctrl+u": pageUp, "pgdown": pageDown, " ": pageDown, "ctrl+d": pageDown,
	"tab": nextTab, "right": nextTab, "shift+tab": lastTab, "left": lastTab, "1": toTab1, "2": toTab2, "3": toTab3, "4": toTab4, "5": toTab5, "6": toTab6,
	"enter": open, "esc": back, "a": approve, "d": deny, "!": glass, "v": preview, "K": kill, "w": watch, "e": endRequest,
	"h": history, "s": shapeHistory, "p": showPolicy, "/": search, "f": layout, "m": mouse, "x": dismiss, "r": reload, "R": replayIt, "?": help,
}

var textKeys = map[string]intent{
	"enter": confirm, "esc": back, "pgup": pageUp, "pgdown": pageDown, "up": up, "down": down,
}

// decides reports whether an intent does something that cannot be taken back. Such keys
// count only when what they are about has stood still for a moment.
func (i intent) decides() bool {
	switch i {
	case approve, deny, glass, kill, endRequest, confirm, preview:
		return true
	}
	return false
}

// moves reports whether an intent may come several times in one piece, from a key that
// is held.
func (i intent) moves() bool { return i >= up && i <= pageDown }

// keyName is the name of a key, and how often it came in one piece.
func keyName(msg tea.KeyMsg) (name string, times int) {
	name, times = msg.String(), 1
	n := len(msg.Runes)
	if n < 2 {
		return name, 1
	}
	for _, r := range msg.Runes {
		if r != msg.Runes[0] {
			return "", 1 // letters that come in one piece are text, not commands
		}
	}
	return string(msg.Runes[0]), n
}

// keyHelp is a key and what it does, for the last line.
type keyHelp struct{ key, does string }
