package mask

import (
	"encoding/json"
	"unicode/utf8"
)

// keyCache remembers what the keys of JSON objects say, so that each is read once
// per result.
type keyCache map[string]Type

// Beyond maxKeys different keys, keys are data and not names: they are not kept.
// Beyond maxDepth of nesting a document is hidden whole.
const (
	maxKeys  = 1024
	maxDepth = 64
)

func (k *keyCache) typeOf(key []byte) Type {
	if t, ok := (*k)[string(key)]; ok {
		return t
	}
	t, strong := NameType(string(key))
	if !strong {
		t = ""
	}
	if *k == nil {
		*k = keyCache{}
	}
	if len(*k) < maxKeys {
		(*k)[string(key)] = t
	}
	return t
}

func looksJSON(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	first, last := b[0], b[len(b)-1]
	return (first == '{' && last == '}') || (first == '[' && last == ']')
}

// redactJSON appends src with the personal leaves replaced: those under a key that
// names personal data, and those that a detector hits. Keys, their order and all
// other bytes stay. valid is false if src is not JSON.
func (p *Plan) redactJSON(dst, src []byte) (out []byte, changed, valid bool) {
	w := jsonWalk{p: p, src: src, dst: dst}
	w.space()
	if !w.value("", 0) {
		return dst, false, false
	}
	w.space()
	if w.at != len(src) {
		return dst, false, false
	}
	return append(w.dst, src[w.done:]...), w.changed, true
}

type jsonWalk struct {
	p       *Plan
	src     []byte
	at      int // next byte to read
	done    int // bytes before it are in dst, as they were or masked
	dst     []byte
	changed bool
}

func (w *jsonWalk) space() {
	for w.at < len(w.src) {
		switch w.src[w.at] {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return
		}
	}
}

// value reads one value. Under a key of personal data t is its type, and holds for
// everything inside.
func (w *jsonWalk) value(t Type, depth int) bool {
	if w.at >= len(w.src) || depth > maxDepth {
		return false
	}
	switch c := w.src[w.at]; {
	case c == '{':
		return w.object(t, depth)
	case c == '[':
		return w.array(t, depth)
	case c == '"':
		start := w.at
		if !w.skipString() {
			return false
		}
		w.leaf(t, start)
		return true
	case c == '-' || isDigit(c):
		start := w.at
		for w.at < len(w.src) && isNumberByte(w.src[w.at]) {
			w.at++
		}
		w.number(t, start)
		return true
	}
	return w.literal("true") || w.literal("false") || w.literal("null")
}

func isNumberByte(c byte) bool {
	return isDigit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

func (w *jsonWalk) literal(s string) bool {
	if len(w.src)-w.at < len(s) || string(w.src[w.at:w.at+len(s)]) != s {
		return false
	}
	w.at += len(s)
	return true
}

func (w *jsonWalk) object(t Type, depth int) bool {
	w.at++
	for first := true; ; first = false {
		w.space()
		if w.at < len(w.src) && w.src[w.at] == '}' && first {
			w.at++
			return true
		}
		start := w.at
		if w.at >= len(w.src) || w.src[w.at] != '"' || !w.skipString() {
			return false
		}
		inner := t
		if inner == "" {
			inner = w.p.keys.typeOf(w.src[start+1 : w.at-1])
		}
		w.leaf("", start) // a key can itself be personal: addresses as keys
		w.space()
		if w.at >= len(w.src) || w.src[w.at] != ':' {
			return false
		}
		w.at++
		w.space()
		if !w.value(inner, depth+1) {
			return false
		}
		w.space()
		if w.at >= len(w.src) {
			return false
		}
		c := w.src[w.at]
		w.at++
		if c == '}' {
			return true
		}
		if c != ',' {
			return false
		}
	}
}

func (w *jsonWalk) array(t Type, depth int) bool {
	w.at++
	for first := true; ; first = false {
		w.space()
		if w.at < len(w.src) && w.src[w.at] == ']' && first {
			w.at++
			return true
		}
		if !w.value(t, depth+1) {
			return false
		}
		w.space()
		if w.at >= len(w.src) {
			return false
		}
		c := w.src[w.at]
		w.at++
		if c == ']' {
			return true
		}
		if c != ',' {
			return false
		}
	}
}

func (w *jsonWalk) skipString() bool {
	for w.at++; w.at < len(w.src); w.at++ {
		switch w.src[w.at] {
		case '\\':
			w.at++
		case '"':
			w.at++
			return true
		}
	}
	return false
}

// leaf masks the string that ends at w.at, or the personal parts of it.
func (w *jsonWalk) leaf(t Type, start int) {
	raw := w.src[start+1 : w.at-1]
	if t != "" {
		w.flush(start + 1)
		if hasEscape(raw) {
			w.dst = appendMaskedText(w.dst, t, nil)
		} else {
			w.dst = w.p.names.appendText(w.dst, t, raw)
		}
		w.replaced(w.at - 1)
		return
	}
	text := raw
	if hasEscape(raw) {
		var s string
		if json.Unmarshal(w.src[start:w.at], &s) != nil {
			s = string(raw)
		}
		text = []byte(s)
	}
	w.p.spans = scanText(w.p.spans[:0], text)
	if len(w.p.spans) == 0 {
		return
	}
	w.flush(start + 1)
	if hasEscape(raw) || !utf8.Valid(raw) { // the spans do not point into the raw bytes
		w.dst = append(w.dst, hiddenText...)
	} else {
		w.dst = appendRedacted(w.dst, raw, w.p.spans, w.p.names)
	}
	w.replaced(w.at - 1)
}

func (w *jsonWalk) number(t Type, start int) {
	if t == "" {
		if end, ok := matchCard(w.src[:w.at], start); !ok || end != w.at {
			return
		}
	}
	w.flush(start)
	w.dst = append(w.dst, '0')
	w.replaced(w.at)
}

func (w *jsonWalk) flush(to int) {
	w.dst = append(w.dst, w.src[w.done:to]...)
}

func (w *jsonWalk) replaced(upTo int) {
	w.done, w.changed = upTo, true
}

func hasEscape(b []byte) bool {
	for _, c := range b {
		if c == '\\' {
			return true
		}
	}
	return false
}
