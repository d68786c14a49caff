package catalog

import "hash/maphash"

// seed is of this process: digests are compared only here, and nobody outside can work
// out two catalogues that have the same.
var seed = maphash.MakeSeed()

// digester makes a number of what a snapshot says. What has no order is added up, item
// by item.
type digester struct{ hash maphash.Hash }

func newDigester() *digester {
	d := &digester{}
	d.hash.SetSeed(seed)
	return d
}

// put takes a list of texts, with where it and each of them ends.
func (d *digester) put(parts ...string) {
	d.num(uint64(len(parts)))
	for _, p := range parts {
		d.num(uint64(len(p)))
		d.hash.WriteString(p) //nolint:errcheck // a hash takes everything
	}
}

func (d *digester) num(list ...uint64) {
	for _, n := range list {
		for ; n > 0x7f; n >>= 7 {
			d.hash.WriteByte(byte(n) | 0x80) //nolint:errcheck // as above
		}
		d.hash.WriteByte(byte(n)) //nolint:errcheck // as above
	}
}

func (d *digester) flag(on bool) {
	if on {
		d.num(1)
	} else {
		d.num(0)
	}
}

func (d *digester) sum() uint64 { return d.hash.Sum64() }

// bag takes items in no order.
func (d *digester) bag(items func(item func(func(*digester)))) {
	var n, total uint64
	one := newDigester()
	items(func(write func(*digester)) {
		one.hash.Reset()
		write(one)
		n, total = n+1, total+one.sum()
	})
	d.num(n, total)
}
