package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/wire"
)

// said is a connection whose other side has sent all it will send.
type said struct {
	net.Conn
	from io.Reader
	got  bytes.Buffer
}

func (s *said) Read(p []byte) (int, error)       { return s.from.Read(p) }
func (s *said) Write(p []byte) (int, error)      { return s.got.Write(p) }
func (s *said) SetWriteDeadline(time.Time) error { return nil }

// lengthSeeds are length words at and around the borders of what may be announced, of
// messages of each kind.
func lengthSeeds(kinds string, add func([]byte)) {
	for _, kind := range []byte(kinds) {
		for _, n := range []uint32{0, 3, 4, 5, maxServerFrame, maxServerFrame + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
			add(append(binary.BigEndian.AppendUint32([]byte{kind}, n), "\x00\x01a\x00"...))
		}
	}
}

// unitGroup is a Parse, Bind, Describe, Execute and Sync.
func unitGroup() []byte {
	return []byte(scriptedMessage('P', "s\x00select 1\x00\x00\x00") + scriptedMessage('B', "\x00s\x00\x00\x00\x00\x00\x00\x00") +
		scriptedMessage('D', "P\x00") + scriptedMessage('E', "\x00\x00\x00\x00\x00") + scriptedMessage('S', ""))
}

// asked is what Read gave, as far as cutting the stream may not change it.
type asked struct {
	Actions []wire.Action
	SQL     []string
	Bytes   string
	Why     string
}

func unitReadAll(t *testing.T, from io.Reader, size int) asked {
	c := newClient(&said{from: from}, newReader(from))
	var a asked
	for {
		req, err := c.read()
		if len(c.in.buf) > max(readBuffer, 2*size) {
			t.Fatalf("%d bytes of memory for %d that came", len(c.in.buf), size)
		}
		if err != nil {
			a.Why = err.Error()
			return a
		}
		f := req.Frame.(*frame)
		a.Bytes += string(f.raw)
		if f.kind != 'd' { // whose pieces are as they come
			a.Actions, a.SQL = append(a.Actions, req.Action), append(a.SQL, req.SQL)
			if len(f.raw)-1 > limitOf(f.kind) {
				t.Fatalf("message %q of %d bytes was read", f.kind, len(f.raw))
			}
		}
	}
}

// What a client sends is read as what it is, in whatever pieces it comes: what is
// passed on is what was sent, up to the first message that is refused.
func FuzzClientRead(f *testing.F) {
	honest := append(unitGroup(), scriptedMessage('Q', "select 2\x00")+scriptedMessage('d', "row")+scriptedMessage('c', "")+scriptedMessage('X', "")...)
	for i := range len(honest) + 1 {
		f.Add(honest[:i])
	}
	lengthSeeds("QPBEDCFSHdcfXpR?\x00\xff", func(b []byte) { f.Add(b) })
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(append(binary.BigEndian.AppendUint32([]byte{'Q'}, MaxStatement), make([]byte, readBuffer+1)...))
	f.Add(bytes.Repeat([]byte(scriptedMessage('H', "")), 400))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := unitReadAll(t, bytes.NewReader(b), len(b))
		if ended := whole.Why == io.EOF.Error() || whole.Why == io.ErrUnexpectedEOF.Error(); ended && unitFalseLength(b) {
			t.Errorf("a length that is none was waited for: %q", b)
		}
		if !bytes.HasPrefix(b, []byte(whole.Bytes)) {
			t.Errorf("%q was passed on as %q", b, whole.Bytes)
		}
		if d := cmp.Diff(whole, unitReadAll(t, iotest.OneByteReader(bytes.NewReader(b)), len(b))); d != "" {
			t.Errorf("byte by byte: %s", d)
		}
	})
}

// A message that is refused takes nothing of the one behind it.
func FuzzClientReadsOn(f *testing.F) {
	for _, kind := range []byte("QPBEDCFSHcfp?") {
		f.Add(kind, []byte(nil))
		f.Add(kind, []byte("select 1"))
		f.Add(kind, []byte(scriptedMessage('Q', "drop table people\x00")))
		f.Add(kind, make([]byte, maxSmall))
	}
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		if kind == 'd' {
			return // comes in pieces
		}
		from := bytes.NewReader([]byte(scriptedMessage(kind, string(body)) + scriptedMessage('Q', "select 'behind'\x00")))
		c := newClient(&said{from: from}, newReader(from))
		if req, err := c.read(); err == nil && len(req.Frame.(*frame).raw) != header+len(body) {
			t.Errorf("%d bytes of a message of %d", len(req.Frame.(*frame).raw), header+len(body))
		}
		req, err := c.read()
		if err != nil || req.Action != wire.Run || req.SQL != "select 'behind'" {
			t.Errorf("the next message was read as %+v, %v", req, err)
		}
	})
}

// received is what became of an answer.
type received struct {
	given     string
	why       error
	looked    int // rows and pieces of COPY data that were shown to whoever decides
	memory    int
	unchecked bool // data passed that should have been looked at
}

// unitReceiveAll sends requests to a database that answers with what from holds.
func unitReceiveAll(t *testing.T, requests []byte, from io.Reader, look, gate bool) (r received) {
	person := &said{from: bytes.NewReader(requests)}
	client := newClient(person, newReader(person))
	server := newServer(&said{from: from}, nil, canceller{}, client)
	for {
		req, err := client.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if req.Prepared != nil {
			req.Prepared.Look = look
		}
		req.Look, req.Gate = look && req.Action == wire.Run, gate && req.Action == wire.Run
		if _, err := server.Send(req); err != nil {
			t.Fatal(err)
		}
	}
	begun := map[*wire.Request]bool{}
	for {
		reply, err := server.Receive()
		r.memory = max(r.memory, len(server.in.buf))
		if err != nil {
			r.given, r.why = person.got.String()+string(client.out), err
			return r
		}
		switch reply.Kind {
		case wire.Begin:
			if begun[reply.Of] {
				t.Fatal("an answer begins twice")
			}
			begun[reply.Of] = true
		case wire.Row, wire.CopyRow:
			r.looked++
			if gate && !begun[reply.Of] {
				t.Fatal("a row came before its answer began")
			}
		case wire.Raw:
			for b := reply.Frame; look && len(b) > 0; {
				kind, total, err := head(b)
				if err != nil || total > len(b) || kind == 'D' || kind == 'd' {
					r.unchecked = true
					break
				}
				b = b[total:]
			}
		}
		if reply.Frame != nil || reply.Kind == wire.Row || reply.Kind == wire.CopyRow {
			if err := client.Write(reply); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Whatever a database answers: no data that must be looked at passes unseen, nothing is
// given that it did not say, memory follows what came and not what was announced, and
// it does not matter in what pieces the answer comes.
func FuzzReceive(f *testing.F) {
	query := scriptedColumns + scriptedRow + scriptedEnd + scriptedReady
	copied := scriptedMessage('H', "\x00\x00\x00") + scriptedMessage('d', "row\n") + scriptedMessage('c', "") + scriptedEnd + scriptedReady
	group := scriptedMessage('1', "") + scriptedMessage('2', "") + query
	looked := scriptedMessage('1', "") + scriptedMessage('t', "\x00\x00") + scriptedColumns + scriptedMessage('2', "") + query
	for _, s := range []string{query, copied, group, looked, scriptedAside + query, query + scriptedFatal} {
		for mode := range byte(8) {
			for i := range len(s) + 1 {
				f.Add([]byte(s[:i]), mode)
			}
		}
	}
	for mode := range byte(8) {
		lengthSeeds("RKSZTDCEINAVGHWdcnst123v?\x00\xff", func(b []byte) {
			f.Add(b, mode)
			f.Add(append([]byte(scriptedColumns), b...), mode)
		})
	}
	f.Fuzz(func(t *testing.T, b []byte, mode byte) {
		requests, look, gate := []byte(scriptedMessage('Q', "select 1\x00")), mode&1 != 0, mode&2 != 0
		if mode&4 != 0 {
			requests = unitGroup()
		}
		whole := unitReceiveAll(t, requests, bytes.NewReader(b), look, gate)
		parts := unitReceiveAll(t, requests, iotest.OneByteReader(bytes.NewReader(b)), look, gate)
		if whole.unchecked || parts.unchecked {
			t.Errorf("data that must be looked at passed: %q", whole.given)
		}
		if m := max(whole.memory, parts.memory); m > max(readBuffer, 2*len(b)) {
			t.Errorf("%d bytes of memory for %d that came", m, len(b))
		}
		if whole.why.Error() != parts.why.Error() {
			t.Errorf("ended by %v, in pieces by %v", whole.why, parts.why)
		}
		// Before what is wrong, in pieces more may have been handed on already.
		if len(whole.given) > len(parts.given) || parts.given[:len(whole.given)] != whole.given || errors.Is(whole.why, io.EOF) && whole.given != parts.given {
			t.Errorf("given %q, in pieces %q", whole.given, parts.given)
		}
		if errors.Is(whole.why, io.EOF) || errors.Is(whole.why, io.ErrUnexpectedEOF) {
			if unitFalseLength(b) {
				t.Errorf("a length that is none was waited for: %q", b)
			}
		}
		if n := unitData(whole.given); look && n > whole.looked {
			t.Errorf("%d rows given and %d looked at", n, whole.looked)
		}
		if !look && !bytes.HasPrefix(b, []byte(parts.given)) {
			t.Errorf("%q was given as %q", b, parts.given)
		}
	})
}

// unitFalseLength says whether a message announces a length that none may have, before
// any goodbye.
func unitFalseLength(b []byte) bool {
	for len(b) >= header && b[0] != 'X' {
		n := binary.BigEndian.Uint32(b[1:])
		if n < 4 || n > 1<<30+8 {
			return true
		}
		if int(n)+1 > len(b) {
			break
		}
		b = b[n+1:]
	}
	return false
}

// unitData counts the rows and pieces of COPY data in an answer.
func unitData(given string) (n int) {
	for b := []byte(given); len(b) >= header; {
		kind, total, err := head(b)
		if err != nil || total > len(b) {
			break
		}
		if kind == 'D' || kind == 'd' {
			n++
		}
		b = b[total:]
	}
	return n
}
