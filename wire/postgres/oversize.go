package postgres

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"strings"

	"github.com/sluicehq/sluice/wire"
)

// maxBeginning is how much of a text that is too large is kept, to say what it was.
const maxBeginning = 32 << 10

// oversized reads a message that is larger than its limit to its end: a client that
// reads nothing before it has written all would else not learn why. Of a statement, or
// the parameters of one, it makes a request that can be refused, after which the
// session goes on; any other message ends it.
func (c *Client) oversized(kind byte, total int) (*wire.Request, error) {
	if kind != 'Q' && kind != 'P' && kind != 'B' {
		if err := c.in.discard(total); err != nil {
			return nil, err
		}
		return nil, oversize(kind, total-1, limitOf(kind))
	}
	if err := c.in.fill(readBuffer); err != nil { // their limits are larger
		return nil, err
	}
	msg := body{b: bytes.Clone(c.in.take(readBuffer)[header:])}
	f := &frame{kind: kind}
	req := &wire.Request{Action: wire.Run, Frame: f, Oversize: &wire.Oversize{Bytes: total - 1, Limit: limitOf(kind)}}
	name := ""
	switch kind {
	case 'P':
		req.Action, req.Prepared = wire.Prepare, &wire.Prepared{Name: msg.text()}
	case 'B':
		_, name = msg.text(), msg.text()
	}
	text := summed{sum: sha256.New()}
	text.add(msg.b)
	for left := total - readBuffer; left > 0; {
		if err := c.in.fill(1); err != nil {
			return nil, err
		}
		piece := c.in.take(min(left, len(c.in.rest())))
		text.add(piece)
		left -= len(piece)
	}
	if msg.bad {
		return nil, violation("malformed message %q of %d bytes", kind, total-1)
	}
	if kind == 'B' {
		return req, c.parametersOf(req, name)
	}
	req.SQL, req.Oversize.SHA256 = text.beginning(msg.b), text.sum.Sum(nil)
	if req.Prepared != nil {
		req.Prepared.SQL = req.SQL
	}
	return req, nil
}

// parametersOf says of which statement the parameters of req are.
func (c *Client) parametersOf(req *wire.Request, statement string) error {
	if err := c.settle(); err != nil {
		return err
	}
	req.Oversize.Parameters = true
	p := c.ledger.statement(statement)
	if p == nil {
		req.Unnamed = true
		return nil
	}
	req.SQL = p.SQL
	return nil
}

// summed takes the hash of a text up to the NUL at its end.
type summed struct {
	sum   hash.Hash
	ended bool
}

func (t *summed) add(piece []byte) {
	if t.ended {
		return
	}
	piece, _, t.ended = bytes.Cut(piece, []byte{0})
	t.sum.Write(piece) // of a hash, which never fails
}

// beginning is the first of a text, cut where a character ends.
func (t *summed) beginning(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return strings.ToValidUTF8(string(b[:min(len(b), maxBeginning)]), "")
}
