package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// unitFrame is one message.
func unitFrame(kind byte, body string) []byte {
	return append(appendHead(nil, kind, 4+len(body)), body...)
}

// unitFrames reads messages to the end of the stream.
func unitFrames(r *reader) (frames []string, err error) {
	for {
		_, total, err := r.peek()
		if err == nil {
			err = r.fill(total)
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, string(r.take(total)))
	}
}

func TestReaderSplitAtEveryByte(t *testing.T) {
	want := []string{
		string(unitFrame('Q', "select 1\x00")), string(unitFrame('S', "")),
		string(unitFrame('d', strings.Repeat("x", 300))), string(unitFrame('X', "")),
	}
	stream := strings.Join(want, "")
	for i := range len(stream) + 1 {
		got, err := unitFrames(newReader(io.MultiReader(strings.NewReader(stream[:i]), strings.NewReader(stream[i:]))))
		if diff := cmp.Diff(want, got); err != io.EOF || diff != "" {
			t.Fatalf("split at %d: %v %s", i, err, diff)
		}
	}
	got, err := unitFrames(newReader(iotest.OneByteReader(strings.NewReader(stream))))
	if diff := cmp.Diff(want, got); err != io.EOF || diff != "" {
		t.Errorf("byte by byte: %v %s", err, diff)
	}
}

// Messages that lie across the end of the buffer are moved, not cut.
func TestReaderAcrossTheBuffer(t *testing.T) {
	var stream bytes.Buffer
	var want []string
	for i := range 50 {
		f := unitFrame('d', strings.Repeat(string(rune('a'+i%26)), 7919+i))
		want = append(want, string(f))
		stream.Write(f)
	}
	got, err := unitFrames(newReader(&stream))
	if diff := cmp.Diff(want, got); err != io.EOF || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestReaderCutShort(t *testing.T) {
	f := string(unitFrame('Q', "select 1\x00"))
	for n := 1; n < len(f); n++ {
		if _, err := unitFrames(newReader(strings.NewReader(f[:n]))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: got %v", n, len(f), err)
		}
	}
	if _, err := unitFrames(newReader(strings.NewReader(""))); err != io.EOF {
		t.Errorf("nothing: got %v", err)
	}
	if _, err := unitFrames(newReader(unitIdle{})); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a source that gives nothing: got %v", err)
	}
}

// unitIdle reads nothing and says that all is well.
type unitIdle struct{}

func (unitIdle) Read([]byte) (int, error) { return 0, nil }

func TestReaderRefusesFalseLength(t *testing.T) {
	for _, n := range []uint32{0, 1, 3, maxServerFrame + 1, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff} {
		b := binary.BigEndian.AppendUint32([]byte{'D'}, n)
		r := newReader(bytes.NewReader(b))
		_, _, err := r.peek()
		unitViolation(t, err)
		if len(r.buf) != idleBuffer {
			t.Errorf("length %d took a buffer of %d", n, len(r.buf))
		}
		if !unitFilled(b).complete() {
			t.Errorf("length %d: the error waits for bytes that may never come", n)
		}
	}
	for _, n := range []uint32{4, maxServerFrame} {
		if _, total, err := head(binary.BigEndian.AppendUint32([]byte{'D'}, n)); err != nil || total != int(n)+1 {
			t.Errorf("length %d: got %d, %v", n, total, err)
		}
	}
}

// unitFilled is a reader that has b in memory and nothing behind it.
func unitFilled(b []byte) *reader { return &reader{src: unitIdle{}, buf: b, end: len(b)} }

// A header that promises much takes no memory before the bytes come.
func TestReaderPromiseTakesNoMemory(t *testing.T) {
	b := append(binary.BigEndian.AppendUint32([]byte{'D'}, 1<<30), make([]byte, 1000)...)
	r := newReader(bytes.NewReader(b))
	_, total, err := r.peek()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.fill(total); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if len(r.buf) > 2*readBuffer {
		t.Errorf("1,005 bytes took a buffer of %d", len(r.buf))
	}
}

func TestReaderGivesMemoryBack(t *testing.T) {
	large, small := unitFrame('B', strings.Repeat("x", 4<<20)), unitFrame('S', "")
	r := newReader(io.MultiReader(bytes.NewReader(large), bytes.NewReader(small)))
	for range 2 {
		_, total, err := r.peek()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.fill(total); err != nil {
			t.Fatal(err)
		}
		if total > readBuffer && len(r.buf) > 2*total {
			t.Errorf("a message of %d took a buffer of %d", total, len(r.buf))
		}
		r.take(total)
	}
	if len(r.buf) > readBuffer {
		t.Errorf("after a large message the buffer is still %d bytes", len(r.buf))
	}
}

// What bulk took is given back after it, and not sought again for each message.
func TestReaderGivesTheMemoryOfBulkBack(t *testing.T) {
	bulk, small := strings.Repeat("x", 4*readBuffer), string(unitFrame('S', ""))
	var pieces []io.Reader
	for range 4 * smallReads {
		pieces = append(pieces, strings.NewReader(small))
	}
	r := newReader(io.MultiReader(append([]io.Reader{strings.NewReader(bulk)}, pieces...)...))
	if err := r.discard(len(bulk)); err != nil {
		t.Fatal(err)
	}
	if len(r.buf) != readBuffer {
		t.Errorf("bulk is read in pieces of %d", len(r.buf))
	}
	last, changes := &r.buf[0], 0
	for range 4 * smallReads {
		_, total, err := r.peek()
		if err != nil {
			t.Fatal(err)
		}
		r.take(total)
		if now := &r.buf[0]; now != last {
			last = now
			changes++
		}
	}
	if changes > 2 {
		t.Errorf("%d new buffers were taken on the way back", changes)
	}
	if len(r.buf) != idleBuffer {
		t.Errorf("an idle connection keeps a buffer of %d", len(r.buf))
	}
}

func TestReaderDiscard(t *testing.T) {
	large, small := unitFrame('Q', strings.Repeat("x", 3<<20)), unitFrame('S', "")
	r := newReader(io.MultiReader(bytes.NewReader(large), bytes.NewReader(small)))
	_, total, err := r.peek()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.discard(total); err != nil {
		t.Fatal(err)
	}
	if len(r.buf) > readBuffer {
		t.Errorf("what is thrown away took a buffer of %d", len(r.buf))
	}
	if kind, _, err := r.peek(); kind != 'S' || err != nil {
		t.Errorf("got %q, %v after it", kind, err)
	}
	if err := r.discard(6); !errors.Is(err, io.EOF) {
		t.Errorf("past the end: got %v", err)
	}
}

func TestReaderComplete(t *testing.T) {
	f := unitFrame('Q', "select 1\x00")
	for n := range f {
		if unitFilled(f[:n]).complete() {
			t.Errorf("%d of %d bytes were called complete", n, len(f))
		}
	}
	if !unitFilled(f).complete() {
		t.Error("a whole message was not called complete")
	}
}

// FuzzReader checks that however a stream is cut, the same messages come out.
func FuzzReader(f *testing.F) {
	f.Add([]byte("Q\x00\x00\x00\x05\x00S\x00\x00\x00\x04"), 3)
	f.Add([]byte("Q\x00\x00\x00\x03"), 1)
	f.Add([]byte("D\xff\xff\xff\xff"), 5)
	f.Add([]byte("D\x00\x10\x00\x00abc"), 7)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut < 0 || cut > len(b) {
			return
		}
		whole, err1 := unitFrames(newReader(bytes.NewReader(b)))
		parts, err2 := unitFrames(newReader(io.MultiReader(bytes.NewReader(b[:cut]), bytes.NewReader(b[cut:]))))
		if diff := cmp.Diff(whole, parts); diff != "" || err1.Error() != err2.Error() {
			t.Errorf("%v, %v %s", err1, err2, diff)
		}
	})
}
