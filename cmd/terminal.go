package cmd

import (
	"os"

	"golang.org/x/term"
)

// terminalSize is in characters; nothing fits into one that does not tell.
func terminalSize(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
