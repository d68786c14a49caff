package audit

import "bytes"

// readRemoved looks at what was removed: which segments are missing at the beginning, and
// what a signed note says of it.
func (v *verifier) readRemoved(bases []uint64) error {
	r, err := removedBefore(v.dir, v.keys)
	if err != nil {
		v.problem(0, removedName, 0, "%v", err)
		return nil
	}
	if r.size > 0 && r.origin != v.keys.name() {
		v.problem(0, removedName, 0, "the note of what was removed is of the log %q, not of %q", r.origin, v.keys.name())
		return nil
	}
	v.removed = int64(r.size)
	if r.size > 0 {
		v.marks = append([]mark{{checkpoint: checkpoint{Origin: r.origin, Size: int64(r.size), Root: r.root}, file: removedName}}, v.marks...)
		v.sortMarks()
	}
	if len(bases) > 0 && bases[0] <= r.size {
		v.gone = int64(bases[0])
		v.report.Removed = bases[0]
	}
	return nil
}

// goneMeanwhile says whether a writer at work has removed a segment since this began. The
// entry that says so may be above the checkpoint that was read then.
func (v *verifier) goneMeanwhile(base, limit int64) bool {
	if base > v.gone {
		return false // it leaves a gap
	}
	r, err := removedBefore(v.dir, v.keys)
	if err != nil || int64(r.size) < limit || int64(r.size) <= v.removed || r.origin != v.keys.name() {
		return false
	}
	v.moving, v.gone, v.report.Removed = true, limit, uint64(limit)
	return true
}

// saidRemoved takes what an entry under a checkpoint says was removed.
func (v *verifier) saidRemoved(seq int64, line []byte) {
	if v.gone == 0 || seq >= v.last.Size && !v.moving || !bytes.Contains(line[:min(len(line), headRoom+64)], []byte(`"kind":"removed"`)) {
		return
	}
	if ev, err := decodeLine(line); err == nil && ev.Kind == Removed {
		v.said = max(v.said, ev.KeptFrom)
	}
}

// settleRemoved compares what is gone with what the record says of it: a note alone is not
// enough, since no checkpoint covers it.
func (v *verifier) settleRemoved() {
	if v.gone > v.said {
		v.problem(v.said, removedName, 0, "entry %d and all up to entry %d are gone, but no entry under a checkpoint says that they were removed", v.said, v.gone-1)
	}
}
