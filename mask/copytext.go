package mask

import "bytes"

// splitText cuts a line of the text format at its delimiters and undoes the
// escapes. No delimiter inside a value stands without a backslash.
func (c *Copy) splitText(line []byte) {
	if len(line) == 0 && len(c.plan.cols) == 0 {
		return
	}
	start := 0
	for i := 0; i <= len(line); i++ {
		if i < len(line) && line[i] == '\\' && i+1 < len(line) {
			i++
			continue
		}
		if i < len(line) && line[i] != c.format.Delimiter {
			continue
		}
		raw := line[start:i]
		c.raw = append(c.raw, raw)
		if string(raw) == c.format.Null {
			c.row = append(c.row, nil)
		} else {
			c.row = append(c.row, c.unescape(raw))
		}
		start = i + 1
	}
}

func (c *Copy) unescape(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	at := len(c.room)
	for i := 0; i < len(raw); i++ {
		b := raw[i]
		if b != '\\' || i+1 == len(raw) {
			c.room = append(c.room, b)
			continue
		}
		i++
		switch b = raw[i]; b {
		case 'b':
			b = '\b'
		case 'f':
			b = '\f'
		case 'n':
			b = '\n'
		case 'r':
			b = '\r'
		case 't':
			b = '\t'
		case 'v':
			b = '\v'
		}
		c.room = append(c.room, b)
	}
	return c.room[at:len(c.room):len(c.room)]
}

func (c *Copy) appendText(dst, v []byte) []byte {
	for _, b := range v {
		switch b {
		case '\\':
			dst = append(dst, '\\', '\\')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\v':
			dst = append(dst, '\\', 'v')
		case c.format.Delimiter:
			dst = append(dst, '\\', b)
		default:
			dst = append(dst, b)
		}
	}
	return dst
}

// splitCSV cuts a row at delimiters outside quotes. Only an unquoted field can be NULL.
func (c *Copy) splitCSV(line []byte) {
	if len(line) == 0 && len(c.plan.cols) == 0 {
		return
	}
	f := &c.format
	start, at, in, quoted := 0, len(c.room), false, false
	end := func(i int) {
		raw := line[start:i]
		c.raw = append(c.raw, raw)
		switch {
		case !quoted && string(raw) == f.Null:
			c.row = append(c.row, nil)
		case !quoted:
			c.row = append(c.row, raw)
		default:
			c.row = append(c.row, c.room[at:len(c.room):len(c.room)])
		}
		start, at, quoted = i+1, len(c.room), false
	}
	for i := 0; i < len(line); i++ {
		b := line[i]
		switch {
		case in && b == f.Escape && i+1 < len(line) && (line[i+1] == f.Quote || (line[i+1] == f.Escape && f.Escape != f.Quote)):
			i++
			c.room = append(c.room, line[i])
		case b == f.Quote:
			in = !in
			quoted = true
		case b == f.Delimiter && !in:
			end(i)
		default:
			c.room = append(c.room, b)
		}
	}
	end(len(line))
}

func (c *Copy) appendCSV(dst, v []byte) []byte {
	f := &c.format
	plain := len(v) > 0 && string(v) != f.Null && string(v) != `\.`
	for _, b := range v {
		if b == f.Delimiter || b == f.Quote || b == '\n' || b == '\r' {
			plain = false
		}
	}
	if plain {
		return append(dst, v...)
	}
	dst = append(dst, f.Quote)
	for _, b := range v {
		if b == f.Quote || b == f.Escape {
			dst = append(dst, f.Escape)
		}
		dst = append(dst, b)
	}
	return append(dst, f.Quote)
}
