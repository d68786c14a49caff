//go:build unix

package cmd

import "golang.org/x/sys/unix"

// freeSpace is what a user without privileges may still write under path, in bytes.
func freeSpace(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}
