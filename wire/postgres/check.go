package postgres

import (
	"crypto/rand"

	"github.com/jackc/pgproto3/v2"

	"github.com/sluicehq/sluice/wire"
)

// Check has the database parse the text of a Query without running it, and gives the
// fields of the error that it answers with; nil if it would run, if that cannot be
// told, or for any other request. In a transaction such an error has failed it, as that
// of the Query would have.
func (s *Server) Check(req *wire.Request) (why map[byte]string, err error) {
	if req.Frame.(*frame).kind != 'Q' {
		return nil, nil // what is in the extended protocol was parsed before
	}
	between, err := s.calm()
	if err != nil || !between {
		return nil, err
	}
	name := "sluice check " + rand.Text()
	raw, err := (&pgproto3.Parse{Name: name, Query: req.SQL}).Encode(nil)
	if err == nil {
		raw, err = (&pgproto3.Close{ObjectType: 'S', Name: name}).Encode(raw)
	}
	if err == nil {
		raw, err = (&pgproto3.Sync{}).Encode(raw)
	}
	if err != nil {
		return nil, err
	}
	b := &bound{}
	if _, err := s.ledger.enter(&exchange{kind: 'b', bound: b}); err != nil {
		return nil, err
	}
	if err := s.put(raw); err != nil {
		return nil, err
	}
	if err := s.answered(b); err != nil || !b.failed {
		return nil, err
	}
	if b.why['C'] == "42601" && b.why['P'] == "" {
		return nil, nil // several statements, each of which it could read
	}
	return b.why, nil
}

// SayOf is what the fields of an error say.
func SayOf(fields map[byte]string) Say {
	return Say{Severity: "ERROR", Code: fields['C'], Message: fields['M'], Detail: fields['D'], Hint: fields['H'], Position: fields['P'], Theirs: true}
}
