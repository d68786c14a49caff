package client

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile takes f for this process, or says that another has it. The system gives it
// back when f is closed, or when the process ends, however it ends.
func lockFile(f *os.File) (taken bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	taken = errors.Is(err, windows.ERROR_LOCK_VIOLATION)
	if taken {
		err = nil
	}
	return taken, err
}
