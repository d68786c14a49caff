package postgres

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/wire"
)

// What is too large is read to its end, so that the message behind it is found; of a
// text the beginning is kept, and the hash of all of it.
func TestOversizedIsReadToItsEnd(t *testing.T) {
	text := "select '" + strings.Repeat("ü", MaxStatement/2+1) + "'"
	sum := sha256.Sum256([]byte(text))
	for name, tt := range map[string]struct {
		message string
		sum     []byte
		sql     string // of which the beginning is kept
	}{
		"query":                            {scriptedMessage('Q', text+"\x00"), sum[:], text},
		"query without an end":             {scriptedMessage('Q', text), sum[:], text},
		"query with more behind its end":   {scriptedMessage('Q', text+"\x00drop table people\x00"), sum[:], text},
		"parse":                            {scriptedMessage('P', "name\x00"+text+"\x00\x00\x00"), sum[:], text},
		"parse with a long name":           {scriptedMessage('P', strings.Repeat("n", readBuffer-100)+"\x00"+text+"\x00\x00\x00"), sum[:], text},
		"parse whose name never ends":      {scriptedMessage('P', strings.Repeat("n", MaxStatement+1)), nil, ""},
		"parameters":                       {scriptedMessage('B', "\x00name\x00"+strings.Repeat("\x00", maxBind)), nil, "select $1"},
		"parameters of another":            {scriptedMessage('B', "p\x00no\x00"+strings.Repeat("\x00", maxBind)), nil, ""},
		"parameters whose name is endless": {scriptedMessage('B', strings.Repeat("n", maxBind+1)), nil, ""},
		"arguments":                        {scriptedMessage('F', strings.Repeat("\x00", maxBind+1)), nil, ""},
		"a message of names only":          {scriptedMessage('E', strings.Repeat("\x00", maxSmall+1)), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			from := io.MultiReader(strings.NewReader(scriptedMessage('P', "name\x00select $1\x00\x00\x00")), strings.NewReader(tt.message), strings.NewReader(scriptedMessage('Q', "select 'behind'\x00")))
			c := newClient(&said{from: from}, newReader(from))
			first, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			c.ledger.enter(&exchange{kind: 'P', req: first, prepared: &prepared{Prepared: first.Prepared}})
			req, err := c.read()
			bad := tt.sum == nil && !strings.HasPrefix(name, "parameters")
			switch {
			case bad || strings.HasSuffix(name, "endless"):
				if err == nil {
					t.Errorf("read as %+v", req)
				}
			case err != nil:
				t.Error(err)
			case req.Oversize == nil || req.Oversize.Bytes != len(tt.message)-1 || !bytes.Equal(req.Oversize.SHA256, tt.sum) || !strings.HasPrefix(tt.sql, req.SQL) ||
				len(req.SQL) < min(len(tt.sql), 80) || req.Unnamed != (tt.sql == "") || len(c.in.buf) > readBuffer:
				t.Errorf("read as %+v, %.100q with %d bytes of memory", req.Oversize, req.SQL, len(c.in.buf))
			default:
				server := newServer(&said{}, nil, canceller{}, c)
				if _, err := server.Send(req); err == nil {
					t.Error("it was sent")
				}
			}
			if req, err := c.read(); err != nil || req.Action != wire.Run || req.SQL != "select 'behind'" {
				t.Errorf("behind it: %+v, %v", req, err)
			}
		})
	}
}
