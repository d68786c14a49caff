package gateway

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
)

// keyFor refuses rules that show pseudonyms where there is no key for them.
func keyFor(rules *policy.Rules, key []byte) error {
	switch {
	case len(key) >= mask.MinPseudonymKey:
		return nil
	case len(key) > 0:
		return fmt.Errorf("the key of pseudonyms has %d bytes, at least %d are needed", len(key), mask.MinPseudonymKey)
	case rules.Pseudonymous():
		return errors.New("a rule shows pseudonyms, and the gateway has no key for them: give it one with pseudonyms: {key: {env: NAME}}")
	}
	return nil
}

// pseudonyms are those that the caller is shown; nil if none. They belong to one result.
func (x *run) pseudonyms(key []byte) *mask.Pseudonyms {
	if x.verdict.Effect == policy.Deny || len(x.verdict.Pseudonym) == 0 {
		return nil
	}
	purposes := map[mask.Type]string{}
	for kind, purpose := range x.verdict.Pseudonym {
		purposes[mask.Type(kind)] = purpose
	}
	return mask.NewPseudonyms(key, purposes)
}

// named are the columns of a result, with pseudonyms for those that have some.
func (s *session) named(x *run, columns []mask.Column) []mask.Column {
	names := x.pseudonyms(s.g.cfg.Pseudonyms)
	if names == nil {
		return columns
	}
	for i := range columns {
		c := &columns[i]
		if c.State != mask.PII && c.State != mask.Unknown {
			continue
		}
		c.Pseudonyms = names
		if _, ok := x.verdict.Pseudonym[string(c.Type)]; ok && c.State == mask.PII {
			c.Label += " as a pseudonym"
		}
	}
	return columns
}

// grouped leaves out columns that sort or group by values which the caller sees as
// pseudonyms: which are equal they see anyway.
func (x *run) grouped(list []steer) []steer {
	return slices.DeleteFunc(list, func(c steer) bool {
		_, ok := x.verdict.Pseudonym[string(c.typ)]
		return ok && !ranks(c.typ)
	})
}
