package gateway

import (
	"fmt"
	"slices"

	"github.com/sluicehq/sluice/mask"
)

// since are the rulings that this gateway came to know after the one at place n, oldest
// first and no more than most; last is the place of the latest there is. What no database
// is known of yet stays here.
func (r *rulings) since(n int64, most int) (list []ruling, last int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.list {
		if x.Seq > n && x.Server != "" && x.Schema != "" {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b ruling) int { return int(a.Seq - b.Seq) })
	if len(list) > most {
		list = list[:most]
	}
	return list, r.seq
}

// last is the place of the latest ruling; grown is closed when there is a later one.
func (r *rulings) last() (at int64, grown <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seq, r.moved
}

// merge adds what another gateway knows, on disk when it returns. news is what was not
// known here or was known otherwise. Of two rulings on one column the later one stands;
// of two that nobody can put in order, both gateways choose the one that hides more.
func (r *rulings) merge(from string, list []ruling) (news []ruling, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, seq := slices.Clone(r.list), r.seq
	for _, x := range list {
		if x.As == "" || x.Column == "" || x.Table == "" || x.Schema == "" || x.Server == "" {
			return nil, fmt.Errorf("a label does not say which column it is about, or what it holds")
		}
		if x.From == "" {
			x.From = from
		}
		i := slices.IndexFunc(next, x.same)
		if i >= 0 {
			var later bool
			if x, later = next[i].or(x); !later {
				continue
			}
		}
		seq++
		x.Seq = seq
		if i < 0 {
			next = append(next, x)
		} else {
			next[i] = x
		}
		news = append(news, x)
	}
	if len(news) == 0 {
		return nil, nil
	}
	return news, r.grow(next)
}

// or is what stands when both are known; later is false if that is r as it is.
func (r ruling) or(x ruling) (stands ruling, later bool) {
	switch {
	case x.Rev != r.Rev:
		return x, x.Rev > r.Rev
	case x.As == r.As && x.Where == r.Where:
		return r, false
	case x.strength() != r.strength():
		return x, x.strength() > r.strength()
	}
	x.As, x.Where = string(mask.Opaque), whole
	return x, r.As != x.As || r.Where != x.Where
}

// strength is how much a ruling hides.
func (r ruling) strength() int {
	switch r.As {
	case asAuto:
		return 0
	case asNone:
		return 1
	case asDoubt:
		return 2
	}
	return 3
}
