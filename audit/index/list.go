package index

import (
	"errors"
	"slices"

	"github.com/sluicehq/sluice/audit"
)

// list reads from the record what the index found, and looks again whether it matches.
func (q *question) list(a *Answer) error {
	size := 0
	err := q.pages(func(p *page, sel []int32) error {
		if !q.Oldest {
			slices.Reverse(sel)
		}
		for _, i := range sel {
			if q.ctx.Err() != nil {
				return q.ctx.Err()
			}
			seq := p.col(colSeq)[i]
			ev, n, err := q.event(seq, p.col(colEnding)[i])
			if err != nil {
				return err
			}
			if !q.Matches(&ev) {
				continue
			}
			// One more than the page holds says that there is a next page, and where.
			if len(a.Events) == q.Limit || size+n > maxListBytes {
				if a.Next = uint64(seq); !q.Oldest {
					a.Next++
				}
				return errEnough
			}
			size += n
			a.Events = append(a.Events, ev)
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// event reads a statement or other event, with how it ended and who approved it, and how
// long it is.
func (q *question) event(seq, ending int64) (audit.Event, int, error) {
	line, err := q.entry(seq)
	if err != nil {
		return audit.Event{}, 0, err
	}
	ev, err := audit.Decode(line)
	if err != nil || ev.Kind != audit.Decided {
		return ev, len(line), err
	}
	size := len(line)
	if ending > 0 {
		if line, err = q.entry(ending); err != nil {
			return ev, 0, err
		}
		end, err := audit.Decode(line)
		if err != nil {
			return ev, 0, err
		}
		ev.End(&end)
		size += len(line)
	}
	if ev.Effect != "hold" {
		return ev, size, nil
	}
	rows, err := q.tx.QueryContext(q.ctx, "SELECT who FROM approval WHERE event=? ORDER BY who", seq)
	if err != nil {
		return ev, 0, err
	}
	return ev, size, eachRow(rows, func(scan func(...any) error) error {
		var who string
		err := scan(&who)
		ev.Approvers = append(ev.Approvers, who)
		return err
	})
}

// maxGroups is how many groups of placeEntries are kept as read: neighbours are often
// asked for together, and an ending is near its decision.
const maxGroups = 256

// entry reads one entry of the record.
func (q *question) entry(seq int64) ([]byte, error) {
	id := seq / placeEntries
	group, ok := q.groups[id]
	if !ok {
		if len(q.groups) >= maxGroups {
			clear(q.groups)
		}
		at := audit.Place{Seq: uint64(id * placeEntries)}
		if err := q.tx.QueryRowContext(q.ctx, "SELECT offset FROM place WHERE id=?", id).Scan(&at.Offset); err != nil {
			return nil, err
		}
		_, err := audit.Forward(q.ctx, q.record, at, func(_ audit.Place, line []byte) error {
			group = append(group, slices.Clone(line))
			if len(group) == placeEntries {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
		q.groups[id] = group
	}
	if n := int(seq % placeEntries); n < len(group) {
		return group[n], nil
	}
	return nil, errGone
}

var errGone = errors.New("an entry that the index knows is no longer in the record")
