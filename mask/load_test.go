package mask_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/mask"
)

// loaded are rows in each format, and how it is read.
func loaded(rows [][]string) map[string]struct {
	data   []byte
	format mask.CopyFormat
} {
	var text, csv bytes.Buffer
	bin := append([]byte("PGCOPY\n\xff\r\n\x00"), make([]byte, 8)...)
	csv.WriteString("a,b\n")
	for _, r := range rows {
		text.WriteString(strings.Join(r, "|") + "\n")
		csv.WriteString(`"` + strings.Join(r, `","`) + "\"\r\n")
		bin = binary.BigEndian.AppendUint16(bin, uint16(len(r)))
		for _, v := range r {
			bin = append(binary.BigEndian.AppendUint32(bin, uint32(len(v))), v...)
		}
	}
	bin = append(bin, 0xff, 0xff)
	return map[string]struct {
		data   []byte
		format mask.CopyFormat
	}{
		"text":   {text.Bytes(), mask.CopyFormat{Delimiter: '|'}},
		"ended":  {append(slices.Clone(text.Bytes()), "\\.\n"...), mask.CopyFormat{Delimiter: '|'}},
		"csv":    {csv.Bytes(), mask.CopyFormat{Kind: mask.CopyCSV, Header: true}},
		"binary": {bin, mask.CopyFormat{Kind: mask.CopyBinary}},
	}
}

// However the data is cut, the columns that it brings are seen.
func TestLoadReadsEveryFormat(t *testing.T) {
	rows := [][]string{{"1", "jane.roe@acme.com"}, {"2", "x y"}, {"3", "two"}}
	for name, f := range loaded(rows) {
		for _, size := range []int{1, 3, 1000} {
			l := mask.NewLoad(2, f.format)
			for part := range slices.Chunk(f.data, size) {
				l.Read(part)
			}
			if got := l.Samples(1); !slices.Equal(got, []string{"jane.roe@acme.com", "x y", "two"}) || len(l.Samples(0)) != 3 || l.Masked() {
				t.Errorf("%s by %d: %q, %v", name, size, got, l.Masked())
			}
		}
	}
}

// A mask as a whole value is found in every format; a text that speaks of one is not.
func TestLoadFindsMasks(t *testing.T) {
	for v, want := range map[string]bool{
		"•••": true, "[masked]": true, "a•••@masked.invalid": true, "+49 •••• 12": true, "Person abcdefghijkl": true, "[ssn:abcdefghijkl]": true,
		"the form shows ••• there": false, "masked": false, "[masked] and more": false, "Person of the year": false,
	} {
		for name, f := range loaded([][]string{{"1", "x"}, {"2", v}}) {
			l := mask.NewLoad(2, f.format)
			l.Read(f.data)
			if l.Masked() != want {
				t.Errorf("%s: %q: %v", name, v, l.Masked())
			}
		}
	}
}

// Of much data only some is kept, from all over it.
func TestLoadKeepsALittle(t *testing.T) {
	l := mask.NewLoad(1, mask.CopyFormat{})
	for i := range 30_000 {
		l.Read([]byte(fmt.Sprintf("value %d %s\n", i, strings.Repeat("x", 2100))))
	}
	got := l.Samples(0)
	if len(got) != 300 || len(got[0]) > 2048 || !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "value 2") && s[11] == ' ' }) {
		t.Errorf("%d values, the first of %d bytes, the last %.20q", len(got), len(got[0]), got[299])
	}
}

// FuzzLoad: nothing that is loaded makes it fail, and what Copy would pass it reads.
func FuzzLoad(f *testing.F) {
	for _, x := range loaded([][]string{{"1", "•••"}, {"2", "a\\tb"}}) {
		f.Add(x.data, int(x.format.Kind), byte(x.format.Delimiter), x.format.Header, 7)
	}
	f.Fuzz(func(t *testing.T, data []byte, kind int, delimiter byte, header bool, cut int) {
		format := mask.CopyFormat{Kind: mask.CopyKind((kind%3 + 3) % 3), Delimiter: delimiter, Header: header}
		l := mask.NewLoad(2, format)
		for part := range slices.Chunk(data, max(1, cut%64)) {
			l.Read(part)
		}
		for i := range 2 {
			if len(l.Samples(i)) > 300 {
				t.Errorf("%d values are kept", len(l.Samples(i)))
			}
		}
	})
}
