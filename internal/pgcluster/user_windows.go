package pgcluster

import (
	"os"
	"syscall"
)

// Windows has no SIGINT for another process; Stop ends the server by killing it,
// which loses nothing that anyone wants to keep.
var interrupt os.Signal = os.Kill

func unprivileged(string) (*syscall.SysProcAttr, error) { return &syscall.SysProcAttr{}, nil }

func give(string, *syscall.SysProcAttr) error { return nil }
