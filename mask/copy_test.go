package mask_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/sluicehq/sluice/mask"
)

var copyColumns = []mask.Column{
	{Name: "id", State: mask.Clean, TypeOID: 23},
	{Name: "email", State: mask.PII, Type: mask.Email, TypeOID: 25},
	{Name: "note", State: mask.Unknown, TypeOID: 25},
}

// copyAll writes data cut into pieces of n bytes.
func copyAll(c *mask.Copy, data []byte, n int) (out []byte, err error) {
	for len(data) > 0 {
		k := min(n, len(data))
		if out, err = c.Write(out, data[:k]); err != nil {
			return out, err
		}
		data = data[k:]
	}
	return out, c.Close()
}

func binaryCopy(rows ...[][]byte) []byte {
	b := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, row := range rows {
		b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
		for _, v := range row {
			if v == nil {
				b = append(b, 0xff, 0xff, 0xff, 0xff)
				continue
			}
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		}
	}
	return append(b, 0xff, 0xff)
}

func TestCopy(t *testing.T) {
	csv := mask.CopyFormat{Kind: mask.CopyCSV}
	for _, tt := range []struct {
		name     string
		format   mask.CopyFormat
		in, want string
		masked   int64
	}{
		{"text", mask.CopyFormat{}, "1\tjane@acme.com\tok\n2\t\\N\t\\N\n", "1\tj•••@masked.invalid\tok\n2\t\\N\t\\N\n", 1},
		{"text, escapes", mask.CopyFormat{}, "1\tjane@acme.com\ta\\tb\\nc\\\\d\n", "1\tj•••@masked.invalid\ta\\tb\\nc\\\\d\n", 1},
		{"text, a hit between escapes", mask.CopyFormat{}, "1\tx@y.de\ta\\tbob@acme.com\\n\n", "1\tx•••@masked.invalid\ta\\tb•••@masked.invalid\\n\n", 2},
		{"text, empty string is no null", mask.CopyFormat{}, "1\t\t\n", "1\t•••\t\n", 1},
		{"text, other delimiter and null", mask.CopyFormat{Delimiter: '|', Null: "-", NullSet: true}, "1|jane@acme.com|a\\|b\n2|-|-\n", "1|j•••@masked.invalid|a\\|b\n2|-|-\n", 1},
		{"text, header", mask.CopyFormat{Header: true}, "id\temail\tnote\n1\ta@b.de\tx\n", "id\temail\tnote\n1\ta•••@masked.invalid\tx\n", 1},
		{"csv", csv, "1,jane@acme.com,ok\n2,,\n", "1,j•••@masked.invalid,ok\n2,,\n", 1},
		{"csv, quotes and newlines", csv, "1,\"jane@acme.com\",\"a \"\"b\"\",\nbob@acme.com\"\n", "1,j•••@masked.invalid,\"a \"\"b\"\",\nb•••@masked.invalid\"\n", 2},
		{"csv, quoted empty is no null", csv, "1,\"\",\"\"\n", "1,•••,\"\"\n", 1},
		{"csv, other quote and escape", mask.CopyFormat{Kind: mask.CopyCSV, Delimiter: ';', Quote: '\'', Escape: '\\'},
			"1;'jane@acme.com';'it\\'s; \\\\ bob@acme.com'\n", "1;j•••@masked.invalid;'it\\'s; \\\\ b•••@masked.invalid'\n", 2},
		{"csv, header", mask.CopyFormat{Kind: mask.CopyCSV, Header: true}, "id,email,note\n1,a@b.de,x\n", "id,email,note\n1,a•••@masked.invalid,x\n", 1},
		{"binary", mask.CopyFormat{Kind: mask.CopyBinary}, string(binaryCopy([][]byte{be32(1), []byte("jane@acme.com"), nil}, [][]byte{be32(2), nil, []byte("x")})),
			string(binaryCopy([][]byte{be32(1), []byte("j•••@masked.invalid"), nil}, [][]byte{be32(2), nil, []byte("x")})), 1},
		{"no rows", mask.CopyFormat{}, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := 1; n <= len(tt.in)+1; n++ {
				c := mask.NewCopy(copyColumns, tt.format)
				got, err := copyAll(c, []byte(tt.in), n)
				if err != nil || string(got) != tt.want || c.Masked() != tt.masked {
					t.Fatalf("pieces of %d: %v, masked %d\ngot  %q\nwant %q", n, err, c.Masked(), got, tt.want)
				}
			}
		})
	}
}

func TestCopyRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		format mask.CopyFormat
		in     string
	}{
		{"too many fields", mask.CopyFormat{}, "1\tx\ty\tjane@acme.com\n"},
		{"too few fields", mask.CopyFormat{}, "jane@acme.com\n"},
		{"delimiter is not what was said", mask.CopyFormat{Kind: mask.CopyCSV}, "1;jane@acme.com;x\n"},
		{"ends inside a row", mask.CopyFormat{}, "1\tjane@acme.com"},
		{"ends inside quotes", mask.CopyFormat{Kind: mask.CopyCSV}, "1,\"jane@acme.com,x\n"},
		{"text where binary was said", mask.CopyFormat{Kind: mask.CopyBinary}, "1\tjane@acme.com\tx\n"},
		{"binary without its end", mask.CopyFormat{Kind: mask.CopyBinary}, string(binaryCopy()[:19])},
		{"binary, bytes behind the end", mask.CopyFormat{Kind: mask.CopyBinary}, string(binaryCopy()) + "jane@acme.com"},
		{"binary, count of fields", mask.CopyFormat{Kind: mask.CopyBinary}, string(binaryCopy([][]byte{[]byte("jane@acme.com")}))},
		{"binary, negative length", mask.CopyFormat{Kind: mask.CopyBinary}, string(binaryCopy()[:19]) + "\x00\x03\xff\xff\xff\xfejane@acme.com"},
		{"binary, huge length", mask.CopyFormat{Kind: mask.CopyBinary}, string(binaryCopy()[:19]) + "\x00\x03\x7f\xff\xff\xffjane@acme.com"},
		{"binary, critical flag", mask.CopyFormat{Kind: mask.CopyBinary}, "PGCOPY\n\xff\r\n\x00\x00\x01\x00\x00\x00\x00\x00\x00jane@acme.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mask.NewCopy(copyColumns, tt.format)
			got, err := copyAll(c, []byte(tt.in), 7)
			if !errors.Is(err, mask.ErrCopy) {
				t.Errorf("passes: %v", err)
			}
			gone(t, got, "jane")
			if more, err := c.Write(nil, []byte("1\tx\tjane\n")); err == nil || len(more) > 0 {
				t.Errorf("goes on after an error: %q", more)
			}
		})
	}
}

func TestDoorCopyRowWithoutEnd(t *testing.T) {
	c := mask.NewCopy(copyColumns, mask.CopyFormat{})
	piece := bytes.Repeat([]byte("x"), 1<<20)
	var err error
	for range 100 {
		if _, err = c.Write(nil, piece); err != nil {
			break
		}
	}
	if !errors.Is(err, mask.ErrCopy) {
		t.Errorf("kept everything: %v", err)
	}
}
