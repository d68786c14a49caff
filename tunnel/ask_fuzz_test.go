package tunnel

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"testing"
)

// answering is a connection whose other side has said all it will say.
type answering struct {
	net.Conn
	said *bytes.Reader
}

func (a answering) Read(p []byte) (int, error)  { return a.said.Read(p) }
func (a answering) Write(p []byte) (int, error) { return len(p), nil }

// Whatever a gateway answers, only a whole yes is a yes, a refusal has a sentence, and
// what comes behind the answer is left for the stream.
func FuzzAsk(f *testing.F) {
	yes := frame(`{"ok":true}`)
	f.Add(append(yes, "R\x00\x00\x00\x08"...))
	for i := range yes {
		f.Add(yes[:i])
	}
	for _, s := range []string{`{"ok":true,"error":"no","hint":"ask"}`, `{"ok":false}`, `{}`, `null`, `[]`, `"ok"`, `{"ok":1}`, `{"ok":true}{"ok":true}`, `{"error":"\u0000"}`} {
		f.Add(frame(s))
	}
	for _, n := range []uint32{0, 3, maxHeader + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		f.Add(append(binary.BigEndian.AppendUint32(nil, n), `{"ok":true}`...))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		conn := answering{said: bytes.NewReader(raw)}
		err := ask(conn, Header{Version: Version, Kind: API})
		used := len(raw) - conn.said.Len()
		if used > 4+maxHeader {
			t.Errorf("%d bytes read of an answer", used)
		}
		var no *Rejection
		if errors.As(err, &no) && no.Sentence == "" {
			t.Error("a refusal without a sentence")
		}
		if err != nil && no == nil {
			return
		}
		if want := 4 + int(binary.BigEndian.Uint32(raw)); used != want {
			t.Fatalf("%d bytes taken for an answer of %d", used, want)
		}
		body := raw[4:used]
		if !json.Valid(body) || err == nil && !bytes.Contains(body, []byte("true")) {
			t.Errorf("%q was read as %v", body, err)
		}
	})
}
