package audit

// VerifyHead checks what was signed of the log in dir, without reading its entries: that
// each kept checkpoint is signed by the key, and that none takes an earlier one back. It
// takes a moment whatever the size of the log; Verify reads it all. With an empty key, the
// one in log.vkey is used.
func VerifyHead(dir, key string) (Report, error) {
	v := &verifier{dir: dir, listed: map[string]bool{}}
	if err := v.chooseKey(key); err != nil {
		return Report{}, err
	}
	err := v.readCheckpoints()
	return v.report, err
}
