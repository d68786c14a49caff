package durable

// SyncDir does nothing on Windows: a directory handle cannot be flushed there,
// and NTFS journals changes of names itself.
func SyncDir(string) error { return nil }
