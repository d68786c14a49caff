package tui

// intent is what a key asks for. Keys are looked up here and nowhere else.
type intent int

const (
	nothing intent = iota
	quit
	up
	down
	pageUp
	pageDown
	switchTab
	startApprove
	startDeny
	confirm
	back
	help
)

// mode is what the keyboard is for at the moment.
type mode int

const (
	browsing  mode = iota
	approving      // asks once more before it approves
	denying        // writes a reason
	helping
)

// intentOf is the meaning of a key in a mode.
func intentOf(in mode, key string) intent {
	if key == "ctrl+c" {
		return quit
	}
	switch in {
	case browsing:
		return browseKeys[key]
	case approving:
		return approveKeys[key]
	case denying:
		return denyKeys[key]
	}
	return back // any key leaves the help
}

var browseKeys = map[string]intent{
	"q": quit, "up": up, "k": up, "down": down, "j": down,
	"pgup": pageUp, "b": pageUp, "ctrl+u": pageUp,
	"pgdown": pageDown, " ": pageDown, "ctrl+d": pageDown,
	"tab": switchTab, "left": switchTab, "right": switchTab,
	"a": startApprove, "d": startDeny, "?": help,
}

var approveKeys = map[string]intent{
	"y": confirm, "enter": confirm, "n": back, "esc": back, "q": back,
	"up": pageUp, "k": pageUp, "pgup": pageUp, "b": pageUp,
	"down": pageDown, "j": pageDown, "pgdown": pageDown, " ": pageDown,
}

var denyKeys = map[string]intent{
	"enter": confirm, "esc": back, "pgup": pageUp, "pgdown": pageDown,
}

// keyHelp is a key and what it does, for the last line.
type keyHelp struct{ key, does string }

func keyHelps(in mode, onAsks bool) []keyHelp {
	switch {
	case in == approving:
		return []keyHelp{{"y", "approve"}, {"esc", "back"}, {"↑↓", "scroll"}}
	case in == denying:
		return []keyHelp{{"enter", "deny"}, {"esc", "back"}}
	case in == helping:
		return []keyHelp{{"any key", "back"}}
	case onAsks:
		return []keyHelp{{"a", "approve"}, {"d", "deny"}, {"↑↓", "choose"}, {"space", "scroll"}, {"tab", "sessions"}, {"?", "help"}, {"q", "quit"}}
	}
	return []keyHelp{{"↑↓", "choose"}, {"tab", "approvals"}, {"?", "help"}, {"q", "quit"}}
}
