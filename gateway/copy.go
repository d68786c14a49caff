package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
)

// errUnreadable ends a session whose COPY data cannot be told apart.
var errUnreadable = errors.New("the data of this COPY cannot be read as its statement says, so it cannot be shown")

// blindCopy refuses a COPY whose data could not be masked: its rows name no columns,
// so they must be known beforehand, and readable.
func blindCopy(x *run) (policy.Verdict, bool) {
	if x.means.Kind != query.CopyTo {
		return policy.Verdict{}, false
	}
	v := policy.Verdict{Effect: policy.Deny, Rule: ruleCopy}
	switch {
	case !x.about.known:
		v.Reason = "the columns of this COPY cannot be worked out; name them, or use SELECT"
	case !utf8Name(x.means.Options["encoding"]):
		v.Reason = "COPY in another encoding than UTF8 cannot be checked; convert the file on your side"
	default:
		return policy.Verdict{}, false
	}
	return v, true
}

// beginCopy makes the plan for COPY data, which names no types: all is text, or
// binary by the type each column of the statement has.
func (s *session) beginCopy(r *wire.Reply) {
	_, x := runOf(r)
	if x == nil {
		return
	}
	told := make([]wire.Column, len(x.about.result))
	for i, c := range x.about.result {
		told[i] = wire.Column{Name: c.Name, TypeOID: s.typeOf(c), Binary: r.Binary}
	}
	columns := s.named(x, x.columns(told, s.base.snapshot()))
	x.copy = mask.NewCopy(columns, copyFormat(x.means, r.Binary))
	x.hidden = hiddenColumns(mask.NewPlan(columns))
}

// copyRow masks a piece of COPY data. Data that cannot be read as the format it
// should have ends the session: some of it might be what must not pass.
func (s *session) copyRow(r *wire.Reply) error {
	_, x := runOf(r)
	if x == nil || x.copy == nil || !x.about.known {
		r.Data = nil
		return errUnreadable
	}
	data, err := x.copy.Write(nil, r.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	r.Data = data
	x.masked = x.copy.Masked()
	return nil
}

// endCopy checks that COPY data ended where a row ends. The beginning of a row is
// not shown, and the client must not take what it has for all.
func (s *session) endCopy(r *wire.Reply) error {
	_, x := runOf(r)
	if x == nil || x.copy == nil || r.Failed {
		return nil
	}
	if err := x.copy.Close(); err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return nil
}

// typeOf is the type of the base column a COPY column comes from, if there is one.
func (s *session) typeOf(c query.Column) uint32 {
	if len(c.Sources) != 1 || c.Sources[0].How != query.Direct {
		return 0
	}
	src := c.Sources[0].Ref
	col, _ := s.base.snapshot().Column(src.Schema, src.Table, src.Column)
	return col.TypeOID
}

// copyFormat reads the options of a COPY statement that decide how its data looks.
func copyFormat(st *query.Statement, binary bool) mask.CopyFormat {
	f := mask.CopyFormat{}
	if binary {
		f.Kind = mask.CopyBinary
	}
	for name, value := range st.Options {
		switch name {
		case "format":
			if strings.EqualFold(value, "csv") {
				f.Kind = mask.CopyCSV
			}
		case "delimiter":
			f.Delimiter = first(value)
		case "null":
			f.Null, f.NullSet = value, true
		case "quote":
			f.Quote = first(value)
		case "escape":
			f.Escape = first(value)
		case "header":
			f.Header = !slices.Contains([]string{"false", "off", "0"}, strings.ToLower(value))
		}
	}
	return f
}

func first(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}
