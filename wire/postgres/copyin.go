package postgres

import (
	"encoding/binary"

	"github.com/sluicehq/sluice/wire"
)

// CopyData is the data of a COPY that a request carries to the server, in pieces that
// follow each other without regard to messages; nil if it carries none. ends says that the client has sent all.
func CopyData(req *wire.Request) (data []byte, ends bool) {
	f, ok := req.Frame.(*frame)
	if !ok {
		return nil, false
	}
	switch f.kind {
	case 'd':
		return f.raw[min(f.head, len(f.raw)):], false
	case 'c', 'f':
		return nil, true
	}
	return nil, false
}

// FailCopy makes a request that says that all data was sent say why it must not be
// kept: the server undoes the COPY, and tells the client.
func FailCopy(req *wire.Request, why string) {
	f, ok := req.Frame.(*frame)
	if !ok || f.kind != 'c' {
		return
	}
	raw := append([]byte{'f', 0, 0, 0, 0}, why...)
	raw = append(raw, 0)
	binary.BigEndian.PutUint32(raw[1:], uint32(len(raw)-1))
	f.kind, f.raw = 'f', raw
}
