package mask

// Plan applies the decisions about a result's columns to its rows. It belongs to
// one stream of rows and is not safe for use by several goroutines.
type Plan struct {
	cols  []Column
	clean bool
	spans []Span
	keys  keyCache
	names *Pseudonyms // of the column at hand

	// buf holds the values made for the current row; they are valid until the next Apply.
	buf []byte
}

// NewPlan makes the plan for a result with these columns.
func NewPlan(cols []Column) *Plan {
	p := &Plan{cols: append([]Column(nil), cols...), clean: true}
	for _, c := range cols {
		if c.State != Clean {
			p.clean = false
		}
	}
	return p
}

// Clean reports whether rows may pass unread: every column is clean.
func (p *Plan) Clean() bool { return p.clean }

// Columns are the columns of the plan, in order.
func (p *Plan) Columns() []Column { return p.cols }

// Apply masks a row in place and returns how many of its values it replaced. NULL,
// that is nil, stays NULL. Values put in are valid until the next Apply. A value
// for which the plan has no column is replaced by NULL.
func (p *Plan) Apply(row [][]byte) (masked int) {
	p.buf = p.buf[:0]
	for i, v := range row {
		if v == nil {
			continue
		}
		if i >= len(p.cols) {
			row[i] = nil
			masked++
			continue
		}
		c := &p.cols[i]
		if c.State == Clean {
			continue
		}
		out, changed := p.value(c, v)
		if changed {
			row[i] = out
			masked++
		}
	}
	return masked
}

func (p *Plan) value(c *Column, v []byte) (out []byte, changed bool) {
	start := len(p.buf)
	ok := true
	switch c.State {
	case PII:
		if p.buf, ok = c.Pseudonyms.append(p.buf, c.Type, v, c.TypeOID, c.Binary); !ok {
			p.buf, ok = appendMasked(p.buf[:start], c.Type, v, c.TypeOID, c.Binary, false)
		}
	case Unknown:
		p.buf, ok, changed = p.scanned(p.buf, c, v)
		if !changed {
			p.buf = p.buf[:start]
			return v, false
		}
	default:
		p.buf, ok = appendMasked(p.buf, "", v, c.TypeOID, c.Binary, true)
	}
	if !ok {
		p.buf = p.buf[:start]
		return nil, true
	}
	out = p.buf[start:len(p.buf):len(p.buf)]
	if out == nil {
		out = []byte{}
	}
	return out, true
}

// scanned reads a value of unknown content and hides what it finds: spans in text
// and JSON, the whole value in any other type.
func (p *Plan) scanned(dst []byte, c *Column, v []byte) (out []byte, ok, changed bool) {
	p.names = c.Pseudonyms
	switch k := kindOf(c.TypeOID); k {
	case kindText:
		if looksJSON(v) {
			if out, changed, valid := p.redactJSON(dst, v); valid {
				return out, true, changed
			}
		}
		dst, changed = p.redactText(dst, v)
		return dst, true, changed
	case kindJSON, kindJSONB:
		return p.scannedJSON(dst, c, v, k == kindJSONB && c.Binary)
	case kindXML:
		dst, changed = p.redactText(dst, v)
		return dst, true, changed
	case kindTextArray:
		if !c.Binary {
			dst, changed = p.redactText(dst, v)
			return dst, true, changed
		}
	}
	if c.bytes {
		p.spans = scanText(p.spans[:0], v)
	} else {
		p.spans = Scan(p.spans[:0], v, c.TypeOID, c.Binary)
	}
	if len(p.spans) == 0 {
		return dst, true, false
	}
	dst, ok = appendMasked(dst, "", v, c.TypeOID, c.Binary, true)
	return dst, ok, true
}

func (p *Plan) scannedJSON(dst []byte, c *Column, v []byte, versioned bool) (out []byte, ok, changed bool) {
	body := v
	start := len(dst)
	if versioned {
		if len(v) == 0 || v[0] != 1 {
			dst, ok = appendMasked(dst, "", v, c.TypeOID, c.Binary, true)
			return dst, ok, true
		}
		dst, body = append(dst, 1), v[1:]
	}
	out, changed, valid := p.redactJSON(dst, body)
	if !valid { // the server sends none such: what cannot be read is hidden
		out, ok = appendMasked(dst[:start], "", v, c.TypeOID, c.Binary, true)
		return out, ok, true
	}
	return out, true, changed
}

// redactText appends v with its personal spans replaced.
func (p *Plan) redactText(dst, v []byte) (out []byte, changed bool) {
	p.spans = scanNames(scanText(p.spans[:0], v), v)
	if len(p.spans) == 0 {
		return dst, false
	}
	if len(p.spans) > 1 {
		p.spans = tidy(p.spans, 0)
	}
	return appendRedacted(dst, v, p.spans, p.names), true
}

// appendRedacted appends v with spans, which are in order, replaced by masks, or by
// pseudonyms where there are some.
func appendRedacted(dst, v []byte, spans []Span, names *Pseudonyms) []byte {
	at := 0
	for _, s := range spans {
		dst = append(dst, v[at:s.Start]...)
		dst = names.appendText(dst, s.Type, v[s.Start:s.End])
		at = s.End
	}
	return append(dst, v[at:]...)
}
