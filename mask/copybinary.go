package mask

import (
	"encoding/binary"
	"fmt"
)

const (
	copySignature = "PGCOPY\n\xff\r\n\x00"
	copyFixed     = len(copySignature) + 8 // flags and the length of the extension follow
	criticalFlags = 0xffff0000             // a reader that does not know one of these must stop
)

// nextBinary finds the end of the header, of a tuple or of the trailer. Lengths are
// checked before anything is kept for them.
func (c *Copy) nextBinary() (int, error) {
	b := c.rest
	switch {
	case len(b) == 0:
		return 0, nil
	case c.done:
		return 0, fmt.Errorf("%w: bytes behind the end", ErrCopy)
	case c.header:
		return binaryHeader(b)
	case len(b) < 2:
		return 0, nil
	}
	fields := int(int16(binary.BigEndian.Uint16(b)))
	if fields == -1 {
		return 2, nil
	}
	if fields != len(c.plan.cols) {
		return 0, fmt.Errorf("%w: a row of %d fields where %d were announced", ErrCopy, fields, len(c.plan.cols))
	}
	at := 2
	for range fields {
		if len(b)-at < 4 {
			return 0, nil
		}
		n := int(int32(binary.BigEndian.Uint32(b[at:])))
		at += 4
		if n == -1 {
			continue
		}
		if n < 0 || n > maxRowBytes {
			return 0, fmt.Errorf("%w: a field of %d bytes", ErrCopy, n)
		}
		if len(b)-at < n {
			return 0, nil
		}
		at += n
	}
	return at, nil
}

func binaryHeader(b []byte) (int, error) {
	n := min(len(b), len(copySignature))
	if string(b[:n]) != copySignature[:n] {
		return 0, fmt.Errorf("%w: no binary signature", ErrCopy)
	}
	if len(b) < copyFixed {
		return 0, nil
	}
	if binary.BigEndian.Uint32(b[len(copySignature):])&criticalFlags != 0 {
		return 0, fmt.Errorf("%w: unknown flags in the binary header", ErrCopy)
	}
	ext := binary.BigEndian.Uint32(b[copyFixed-4:])
	if ext > maxRowBytes {
		return 0, fmt.Errorf("%w: a header extension of %d bytes", ErrCopy, ext)
	}
	if len(b) < copyFixed+int(ext) {
		return 0, nil
	}
	return copyFixed + int(ext), nil
}

func (c *Copy) passBinary(dst, b []byte) ([]byte, error) {
	if c.header {
		c.header = false
		return append(dst, b...), nil
	}
	if int16(binary.BigEndian.Uint16(b)) == -1 {
		c.done = true
		return append(dst, b...), nil
	}
	if c.plan.Clean() && c.see == nil {
		return append(dst, b...), nil
	}
	c.row = c.row[:0]
	for at := 2; at < len(b); {
		v, next := lengthPrefixed(b, at)
		if next < 0 {
			return dst, fmt.Errorf("%w: a field goes beyond its row", ErrCopy)
		}
		c.row = append(c.row, v)
		at = next
	}
	if c.see != nil {
		c.see(b, c.row)
	}
	n := c.plan.Apply(c.row)
	c.masked += int64(n)
	if n == 0 {
		return append(dst, b...), nil
	}
	dst = append(dst, b[:2]...)
	for _, v := range c.row {
		if v == nil {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	return dst, nil
}
