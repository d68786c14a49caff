package leak

import (
	"bytes"
	enc "encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// stream is what came over a connection, and reads it as somebody would who wants to
// know what is in it: values without their framing, binary ones as text.
type stream struct {
	*tap
	types *pgtype.Map
}

// reset forgets what came so far.
func (s *stream) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = nil
}

// texts are the readings of what came: all values in order; those of each column one
// below the other; everything that is no row; and the bytes as they are.
func (s *stream) texts() []string {
	if s.types == nil {
		s.types = pgtype.NewMap()
	}
	var rows, rest strings.Builder
	var out []string
	var columns []*strings.Builder
	var described []field
	var copied []byte
	said := map[byte][]byte{} // the same field of all errors and notices, one after the other
	end := func() {
		if len(columns) > 1 {
			for _, c := range columns {
				out = append(out, c.String())
			}
		}
		columns = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := s.heard; len(b) >= 5; {
		n := int(enc.BigEndian.Uint32(b[1:])) + 1
		if n > len(b) {
			rest.Write(b)
			break
		}
		kind, body := b[0], b[5:n]
		b = b[n:]
		switch kind {
		case 'T':
			end()
			described = fields(body)
			for _, f := range described {
				rest.WriteString(f.name + "\n")
			}
		case 'D':
			values := dataRow(body)
			for i, v := range values {
				text := string(v)
				if i < len(described) && described[i].binary {
					text = s.text(v, described[i].oid)
				}
				rows.WriteString(text + "\n")
				for len(columns) <= i {
					columns = append(columns, &strings.Builder{})
				}
				columns[i].WriteString(text + "\n")
			}
		case 'd':
			copied = append(copied, body...)
		case 'E', 'N':
			for _, part := range bytes.Split(body, []byte{0}) {
				if len(part) > 0 {
					said[part[0]] = append(append(said[part[0]], part[1:]...), '\n')
				}
			}
		case 'A':
			said['A'] = append(append(said['A'], body[4:]...), '\n')
		default:
			rest.Write(body)
			rest.WriteByte('\n')
		}
	}
	end()
	for _, text := range said {
		out = append(out, string(text))
	}
	slices.Sort(out)
	out = append(out, rows.String(), rest.String(), string(copied))
	return append(out, s.copyColumns(copied)...)
}

type field struct {
	name   string
	oid    uint32
	binary bool
}

func fields(b []byte) (out []field) {
	n := int(enc.BigEndian.Uint16(b))
	b = b[2:]
	for range n {
		end := bytes.IndexByte(b, 0)
		out = append(out, field{name: string(b[:end]), oid: enc.BigEndian.Uint32(b[end+7:]), binary: b[end+18] == 1})
		b = b[end+19:]
	}
	return out
}

func dataRow(b []byte) (out [][]byte) {
	n := int(enc.BigEndian.Uint16(b))
	b = b[2:]
	for range n {
		size := int(int32(enc.BigEndian.Uint32(b)))
		b = b[4:]
		if size < 0 {
			out = append(out, nil)
			continue
		}
		out = append(out, b[:size])
		b = b[size:]
	}
	return out
}

// text is a binary value as text: by its type if that is known, and else every number
// that it may be.
func (s *stream) text(v []byte, oid uint32) string {
	if t, ok := s.types.TypeForOID(oid); ok && v != nil {
		if x, err := t.Codec.DecodeValue(s.types, oid, pgtype.BinaryFormatCode, v); err == nil {
			if text, err := s.types.Encode(oid, pgtype.TextFormatCode, x, nil); err == nil {
				return string(text) + " " + string(v)
			}
		}
	}
	return numbers(v) + " " + string(v)
}

// numbers are those that a binary value may be.
func numbers(v []byte) string {
	switch len(v) {
	case 2:
		return fmt.Sprint(int16(enc.BigEndian.Uint16(v)))
	case 4:
		n := int32(enc.BigEndian.Uint32(v))
		return fmt.Sprint(n)
	case 8:
		return fmt.Sprint(int64(enc.BigEndian.Uint64(v)))
	}
	return ""
}

// copyColumns reads COPY data column by column, in whatever format it is.
func (s *stream) copyColumns(b []byte) (out []string) {
	const signature = "PGCOPY\n\xff\r\n\x00"
	if !bytes.HasPrefix(b, []byte(signature)) {
		return nil
	}
	var all strings.Builder
	var columns []*strings.Builder
	for b = b[len(signature)+8:]; len(b) >= 2; {
		n := int(int16(enc.BigEndian.Uint16(b)))
		b = b[2:]
		for i := range n {
			size := int(int32(enc.BigEndian.Uint32(b)))
			b = b[4:]
			if size < 0 {
				continue
			}
			for len(columns) <= i {
				columns = append(columns, &strings.Builder{})
			}
			columns[i].WriteString(numbers(b[:size]) + " " + s.text(b[:size], numericOID(b[:size])) + "\n")
			all.WriteString(numbers(b[:size]) + " " + string(b[:size]) + "\n")
			b = b[size:]
		}
	}
	for _, c := range columns {
		out = append(out, c.String())
	}
	return append(out, all.String())
}

// numericOID guesses numeric, which tells its own length.
func numericOID(v []byte) uint32 {
	if len(v) >= 8 && len(v) == 8+2*int(enc.BigEndian.Uint16(v)) {
		return pgtype.NumericOID
	}
	return 0
}
