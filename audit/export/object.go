package export

import (
	"strconv"

	"github.com/sluicehq/sluice/audit"
)

// object is JSON as it is written: each entry becomes one, so nothing is put together
// first that is only there to be taken apart again. Where a key is "" a member of a list
// is written.
type object struct{ b []byte }

// key begins a member.
func (o *object) key(key string) {
	if last := len(o.b) - 1; last >= 0 && o.b[last] != '{' && o.b[last] != '[' {
		o.b = append(o.b, ',')
	}
	if key != "" {
		o.b = append(append(append(o.b, '"'), key...), '"', ':')
	}
}

// open begins an object that is a member; close ends it.
func (o *object) open(key string) {
	o.key(key)
	o.b = append(o.b, '{')
}

func (o *object) close() { o.b = append(o.b, '}') }

// list begins a list; endList ends it.
func (o *object) list(key string) {
	o.key(key)
	o.b = append(o.b, '[')
}

func (o *object) endList() { o.b = append(o.b, ']') }

// str is a text, also an empty one.
func (o *object) str(key, s string) {
	o.key(key)
	o.b = audit.AppendString(o.b, s)
}

// int is a number, also zero.
func (o *object) int(key string, n int64) {
	o.key(key)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) yes(key string) {
	o.key(key)
	o.b = append(o.b, "true"...)
}

// text is a text that is not empty.
func (o *object) text(key, s string) {
	if s != "" {
		o.str(key, s)
	}
}

// number is a number that is not zero.
func (o *object) number(key string, n int64) {
	if n != 0 {
		o.int(key, n)
	}
}

// texts are texts, if there are any.
func (o *object) texts(key string, list []string) {
	if len(list) == 0 {
		return
	}
	o.list(key)
	for _, s := range list {
		o.str("", s)
	}
	o.endList()
}
