package index

// edge is the rows at the end of the index, in memory: those of the block that is not yet
// full, of the one before, whose statements end after it, and of the transaction under way.
// So a block is packed without being read back, and a statement that ends soon is found. It
// is of one owner, and forgotten when a transaction is rolled back.
type edge struct {
	from uint64           // all rows from this entry on are here
	rows [][columns]int64 // in order
	at   []int32          // by entry, from from on: where in rows its row is, plus one; 0 if it has none
}

// next is the entry after the last.
func (e *edge) next() uint64 { return e.from + uint64(len(e.at)) }

// skip takes in an entry that has no row.
func (e *edge) skip() { e.at = append(e.at, 0) }

// add takes in an entry and its row.
func (e *edge) add(row *[columns]int64) {
	e.rows = append(e.rows, *row)
	e.at = append(e.at, int32(len(e.rows)))
}

// row is the row of an entry, nil if it has none here.
func (e *edge) row(seq uint64) *[columns]int64 {
	if seq < e.from || seq >= e.next() || e.at[seq-e.from] == 0 {
		return nil
	}
	return &e.rows[e.at[seq-e.from]-1]
}

// since are the rows of an entry and all after it.
func (e *edge) since(seq uint64) [][columns]int64 {
	for ; seq < e.next(); seq++ {
		if n := e.at[seq-e.from]; n > 0 {
			return e.rows[n-1:]
		}
	}
	return nil
}

// page is the rows of a block, false if not all of them are here.
func (e *edge) page(block int64, p *page) bool {
	first := uint64(block * blockEntries)
	if first < e.from {
		return false
	}
	rows := e.since(first)
	for i := range rows {
		if uint64(rows[i][colSeq]) >= first+blockEntries {
			break
		}
		p.add(&rows[i])
	}
	return true
}

// trim forgets what is before the block before the last.
func (e *edge) trim() {
	first := e.next() / blockEntries * blockEntries
	first -= min(first, blockEntries)
	if first <= e.from {
		return
	}
	rows := e.since(first)
	at := e.at[first-e.from:]
	kept := &edge{from: first, rows: make([][columns]int64, len(rows)), at: make([]int32, len(at))}
	copy(kept.rows, rows)
	gone := int32(len(e.rows) - len(rows))
	for i, n := range at {
		if n > 0 {
			kept.at[i] = n - gone
		}
	}
	*e = *kept
}
