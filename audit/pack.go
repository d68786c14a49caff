package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"

	"github.com/klauspost/compress/zstd"
)

// A segment that is full and old is kept packed: in Zstandard (RFC 8878), as frames of
// whole lines, so that an entry can be read without unpacking all before it, and a seek
// table at the end as the Zstandard Seekable Format has it. `zstd -d` unpacks it.

const (
	packedSuffix = ".zst"
	// packBytes is about how much a frame holds: more packs little better, and takes
	// longer for one entry.
	packBytes = 256 << 10
	// maxPacked bounds a frame that is read: packBytes and a line more.
	maxPacked = packBytes + maxEventBytes + 1

	seekMagic  = 0x8F92EAB1
	skipMagic  = 0x184D2A5E
	seekFooter = 9
	seekEntry  = 8
)

// pack packs the lines of a segment.
func pack(lines []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	var out []byte
	var table []byte
	frames := uint32(0)
	for len(lines) > 0 {
		n := len(lines)
		if n > packBytes {
			end := bytes.IndexByte(lines[packBytes:], '\n')
			if end < 0 {
				return nil, errors.New("pack a segment: its last line has no end")
			}
			n = packBytes + end + 1
		}
		before := len(out)
		out = enc.EncodeAll(lines[:n], out)
		table = binary.LittleEndian.AppendUint32(table, uint32(len(out)-before))
		table = binary.LittleEndian.AppendUint32(table, uint32(n))
		frames++
		lines = lines[n:]
	}
	out = binary.LittleEndian.AppendUint32(out, skipMagic)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(table)+seekFooter))
	out = append(out, table...)
	out = binary.LittleEndian.AppendUint32(out, frames)
	out = append(out, 0) // no checksums in the table: frames have their own
	return binary.LittleEndian.AppendUint32(out, seekMagic), nil
}

// segmentFile is a segment to be read, packed or not.
type segmentFile interface {
	io.ReadSeeker
	io.ReaderAt
	io.Closer
}

// openSegmentFile opens the segment of base, whichever way it is kept.
func openSegmentFile(dir string, base uint64) (segmentFile, error) {
	path := segmentPath(dir, base)
	for range 2 { // the second time if it was packed in between
		file, err := os.Open(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
		if file, err = os.Open(path + packedSuffix); err == nil {
			return openPacked(file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// packedFile reads a packed segment as if it were not. It is not safe for concurrent use.
type packedFile struct {
	file   *os.File
	dec    *zstd.Decoder
	frames []packedFrame
	size   int64 // unpacked
	pos    int64
	have   int // the frame that is in buf
	buf    []byte
	raw    []byte
}

// packedFrame is where a frame begins, in the file and in the lines.
type packedFrame struct {
	at, from int64
	packed   int
	size     int
}

var errPacked = errors.New("a packed segment is damaged")

func openPacked(file *os.File) (segmentFile, error) {
	p := &packedFile{file: file, have: -1}
	err := p.table()
	if err == nil {
		p.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPacked))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return p, nil
}

// table reads the seek table.
func (p *packedFile) table() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	var foot [seekFooter]byte
	if _, err := p.file.ReadAt(foot[:], info.Size()-seekFooter); err != nil || binary.LittleEndian.Uint32(foot[5:]) != seekMagic || foot[4] != 0 {
		return fmt.Errorf("%w: it has no seek table", errPacked)
	}
	n := int64(binary.LittleEndian.Uint32(foot[:]))
	begin := info.Size() - seekFooter - n*seekEntry - 8
	if n > segmentEntries || begin < 0 {
		return fmt.Errorf("%w: its seek table is too long", errPacked)
	}
	entries := make([]byte, n*seekEntry)
	if _, err := p.file.ReadAt(entries, begin+8); err != nil {
		return err
	}
	at := int64(0)
	for i := range n {
		f := packedFrame{at: at, from: p.size, packed: int(binary.LittleEndian.Uint32(entries[i*seekEntry:])), size: int(binary.LittleEndian.Uint32(entries[i*seekEntry+4:]))}
		if f.size == 0 || f.size > maxPacked || f.packed == 0 || f.packed > 2*maxPacked {
			return fmt.Errorf("%w: frame %d", errPacked, i)
		}
		at, p.size = at+int64(f.packed), p.size+int64(f.size)
		p.frames = append(p.frames, f)
	}
	if at != begin {
		return fmt.Errorf("%w: its seek table is of another file", errPacked)
	}
	return nil
}

// frame has the frame that holds the byte at off in buf.
func (p *packedFile) frame(off int64) (packedFrame, error) {
	i := sort.Search(len(p.frames), func(i int) bool { return p.frames[i].from > off }) - 1
	f := p.frames[i]
	if i == p.have {
		return f, nil
	}
	p.have = -1
	if cap(p.raw) < f.packed {
		p.raw = make([]byte, f.packed)
	}
	p.raw = p.raw[:f.packed]
	if _, err := p.file.ReadAt(p.raw, f.at); err != nil {
		return f, err
	}
	var err error
	if p.buf, err = p.dec.DecodeAll(p.raw, p.buf[:0]); err != nil || len(p.buf) != f.size {
		return f, fmt.Errorf("%w: frame %d: %w", errPacked, i, errors.Join(err, io.ErrUnexpectedEOF))
	}
	p.have = i
	return f, nil
}

func (p *packedFile) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		if off >= p.size {
			return n, io.EOF
		}
		f, err := p.frame(off)
		if err != nil {
			return n, err
		}
		k := copy(b[n:], p.buf[off-f.from:])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// Read gives what is left of the frame at hand.
func (p *packedFile) Read(b []byte) (int, error) {
	if p.pos >= p.size {
		return 0, io.EOF
	}
	f, err := p.frame(p.pos)
	if err != nil {
		return 0, err
	}
	n := copy(b, p.buf[p.pos-f.from:])
	p.pos += int64(n)
	return n, nil
}

func (p *packedFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.pos
	case io.SeekEnd:
		offset += p.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	p.pos = offset
	return offset, nil
}

func (p *packedFile) Close() error {
	p.dec.Close()
	return p.file.Close()
}
