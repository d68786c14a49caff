//go:build unix

package cmd

import "golang.org/x/sys/unix"

// openFiles is how many files a process of this user may have open.
func openFiles() (uint64, bool) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, false
	}
	return uint64(l.Max), true // a Go program raises its own limit to this
}
