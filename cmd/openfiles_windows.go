package cmd

// openFiles is not bounded there.
func openFiles() (uint64, bool) { return 0, false }
