package postgres

import (
	"bytes"
	"encoding/binary"

	"github.com/sluicehq/sluice/wire"
)

// Instead has Send put sql on its way in place of the text of a Query or Parse. What
// req says, and what a name means, stays the client's own text: sql must mean the
// same to whoever decides. It returns false, and changes nothing, for any other message.
func Instead(req *wire.Request, sql string) bool {
	f, ok := req.Frame.(*frame)
	if !ok || f.kind != 'Q' && f.kind != 'P' || bytes.IndexByte([]byte(sql), 0) >= 0 {
		return false
	}
	body := f.raw[header:]
	var name []byte
	if f.kind == 'P' {
		i := bytes.IndexByte(body, 0)
		if i < 0 {
			return false
		}
		name, body = body[:i+1], body[i+1:]
	}
	i := bytes.IndexByte(body, 0)
	if i < 0 {
		return false
	}
	raw := append(append([]byte{f.kind, 0, 0, 0, 0}, name...), sql...)
	raw = append(raw, body[i:]...) // the end of the text, and of Parse the types
	binary.BigEndian.PutUint32(raw[1:], uint32(len(raw)-1))
	f.raw = raw
	return true
}
