//go:build unix

package client

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes f for this process, or says that another has it. The system gives it
// back when f is closed, or when the process ends, however it ends.
func lockFile(f *os.File) (taken bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	taken = errors.Is(err, unix.EWOULDBLOCK)
	if taken {
		err = nil
	}
	return taken, err
}
