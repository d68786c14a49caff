package gateway

import (
	"slices"

	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

// block is the transaction block that up sends statements into (decision 010). What a
// plain write does in a block that is open takes effect with COMMIT: it is the answer
// to that which waits for the disk. up owns it.
type block struct {
	open bool // what is sent next runs in a block, for certain
	owed bool // of a write in it the answer did not wait
}

// see notes how things stand once all that was sent has been answered. Before, the
// answer on its way might change it.
func (b *block) see(quiet, open bool) {
	if !quiet {
		return
	}
	b.open = open
	b.owed = b.owed && open
}

// gates reports whether the answer to a statement, which is the only one of its
// message if alone, waits until its decision is on disk.
func (b *block) gates(x *run, alone bool) bool {
	if x.about.personal {
		return true
	}
	if b.owed && commits(x.means) {
		return true
	}
	return mustBeDurable(x) && !(b.open && alone && plainWrite(x))
}

// sent notes what a message that was sent may do to the block.
func (b *block) sent(j *job) {
	for _, x := range j.runs {
		b.owed = b.owed || b.open && !j.gated && plainWrite(x)
	}
	b.open = b.open && !slices.ContainsFunc(j.runs, func(x *run) bool { return leaves(x.means) })
}

// leaves reports whether a statement may end or begin a block.
func leaves(st *query.Statement) bool {
	switch st.Kind {
	case query.Transaction, query.Unknown:
		return true
	}
	return false
}

// commits reports whether a statement may make what the block did last. A savepoint
// does not.
func commits(st *query.Statement) bool {
	if st.Kind == query.Transaction {
		return st.Tag != "SAVEPOINT" && st.Tag != "RELEASE"
	}
	return leaves(st)
}

// plainWrite reports whether all that a statement does is undone with its block, and
// its answer is no more than a count: rows it would return, routines that are not
// known and files are not that.
func plainWrite(x *run) bool {
	switch x.means.Kind {
	case query.Insert, query.Update, query.Delete, query.Merge:
	default:
		return false
	}
	if x.means != x.text || x.verdict.Effect != policy.Allow || len(x.means.Returning) > 0 || x.means.Partial {
		return false
	}
	return !slices.ContainsFunc(x.means.Signs, func(sign query.Sign) bool { return sign != query.NoWhere })
}
