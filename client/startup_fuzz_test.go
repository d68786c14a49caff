package client

import (
	"bytes"
	"encoding/binary"
	"net"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/api"
)

// program is a local program that has sent all it will send.
type program struct {
	net.Conn
	sent *bytes.Reader
	told bytes.Buffer
}

func (p *program) Read(b []byte) (int, error)  { return p.sent.Read(b) }
func (p *program) Write(b []byte) (int, error) { return p.told.Write(b) }
func (p *program) Close() error                { return nil }

func startupOf(length, code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, length)
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

func startupSeeds(f *testing.F) {
	honest := startupOf(17, 3<<16, "user\x00ada\x00")
	for i := range len(honest) + 1 {
		f.Add(honest[:i])
	}
	for _, n := range []uint32{0, 3, 4, 7, 8, maxStartup, maxStartup + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		f.Add(startupOf(n, 3<<16, "user\x00ada\x00"))
	}
	f.Add(startupOf(maxStartup+1, 3<<16, strings.Repeat("x", maxStartup)))
	ssl, gss := startupOf(8, sslRequest, ""), startupOf(8, gssRequest, "")
	f.Add(bytes.Join([][]byte{ssl, gss, honest}, nil))
	f.Add(bytes.Join([][]byte{ssl, ssl, ssl, ssl, honest}, nil))
	f.Add(append(ssl, startupOf(16, cancelRequest, "12345678")...))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

// A startup message is taken whole or not at all: what comes behind one is read as
// what it is, and no length makes us read more than PostgreSQL would.
func FuzzReadStartup(f *testing.F) {
	startupSeeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		behind := startupOf(8, sslRequest, "")
		r := bytes.NewReader(append(bytes.Clone(raw), behind...))
		code, err := readStartup(r)
		used := len(raw) + len(behind) - r.Len()
		if used > maxStartup {
			t.Errorf("%d bytes read", used)
		}
		if err != nil {
			if code != 0 {
				t.Errorf("an error and the code %d", code)
			}
			return
		}
		if len(raw) < 8 {
			return // the rest was made of what is behind
		}
		if n := binary.BigEndian.Uint32(raw); int(n) != used || n < 8 || code != binary.BigEndian.Uint32(raw[4:]) {
			t.Errorf("%d bytes taken as code %d of a message of %d", used, code, n)
		}
		if used != len(raw) {
			return
		}
		if next, err := readStartup(r); err != nil || next != sslRequest {
			t.Errorf("what comes behind was read as %d, %v", next, err)
		}
	})
}

// Whatever a local program sends, it hears nothing but refusals to encrypt and then,
// if it began a session, one whole error.
func FuzzTellWhy(f *testing.F) {
	startupSeeds(f)
	why := &api.Error{Sentence: "you are not logged in", Hint: "run sluice login", Code: api.CodeNotLoggedIn}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &program{sent: bytes.NewReader(raw)}
		tellWhy(p, why)
		said := p.told.Bytes()
		rest := bytes.TrimLeft(said, "N")
		if len(said)-len(rest) > 3 || len(rest) > 0 && !bytes.Equal(rest, errorResponse(why)) {
			t.Errorf("%q was answered %q", raw, said)
		}
	})
}

// An error's words come from elsewhere: none of them can end the message early or add
// a field to it.
func FuzzErrorResponse(f *testing.F) {
	f.Add("the gateway does not answer", "try again")
	f.Add("a\x00Hrun this", "b\x00\x00Z\x00\x00\x00\x05I")
	f.Add("", "")
	f.Add(strings.Repeat("x", 70_000), "\xff\xfe")
	f.Fuzz(func(t *testing.T, sentence, hint string) {
		msg := errorResponse(&api.Error{Sentence: sentence, Hint: hint, Code: api.CodeRefused})
		if msg[0] != 'E' || int(binary.BigEndian.Uint32(msg[1:])) != len(msg)-1 {
			t.Fatalf("no whole message: %q", msg)
		}
		plain := func(s string) string { return strings.ReplaceAll(s, "\x00", "") }
		want := "SFATAL\x00VFATAL\x00C28000\x00M" + plain(sentence) + "\x00"
		if hint != "" {
			want += "H" + plain(hint) + "\x00"
		}
		if got := string(msg[5:]); got != want+"\x00" {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
