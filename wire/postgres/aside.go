package postgres

import (
	"github.com/sluicehq/sluice/wire"
)

// aside deals with messages that answer no request.
func (s *Server) aside(kind byte, msg []byte) (fate, error) {
	switch kind {
	case 'S':
		name, value, err := decodePair(msg[header:])
		if err != nil {
			return 0, err
		}
		s.tell(&wire.Reply{Kind: wire.Setting, Name: name, Value: value, Frame: msg})
	case 'A':
		pid, channel, payload, err := decodeNotification(msg[header:])
		if err != nil {
			return 0, err
		}
		s.tell(&wire.Reply{Kind: wire.Notify, Rows: int64(pid), Name: channel, Value: payload, Frame: msg})
	case 'N':
		fields, err := decodeFields(msg[header:])
		if err != nil {
			return 0, err
		}
		r := &wire.Reply{Kind: wire.Message, Fields: fields, Frame: msg}
		if x := s.current(); x != nil {
			r.Of, r.Index = x.req, x.index
			if x.kind == 'S' && s.ran != nil {
				r.Of = s.ran // deferred triggers speak at the end of a transaction
			}
		}
		s.tell(r)
	}
	return tell, nil
}

// Reword puts changed fields in place of those an error or notice came with.
func Reword(r *wire.Reply) {
	kind := byte('N')
	if r.Failed {
		kind = 'E'
	}
	r.Frame = encodeFields(r.Fields, kind)
}

// Renotify puts a changed payload in place of the one a notification came with.
func Renotify(r *wire.Reply) {
	b := appendHead(nil, 'A', 4+4+len(r.Name)+1+len(r.Value)+1)
	b = append(b, byte(r.Rows>>24), byte(r.Rows>>16), byte(r.Rows>>8), byte(r.Rows))
	b = append(append(b, r.Name...), 0)
	r.Frame = append(append(b, r.Value...), 0)
}

// Resetting puts a changed value in place of the one a setting was reported with.
func Resetting(r *wire.Reply) {
	b := appendHead(nil, 'S', 4+len(r.Name)+1+len(r.Value)+1)
	b = append(append(b, r.Name...), 0)
	r.Frame = append(append(b, r.Value...), 0)
}
