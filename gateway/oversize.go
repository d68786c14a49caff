package gateway

import (
	"encoding/hex"
	"fmt"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
	"github.com/sluicehq/sluice/wire/postgres"
)

// ruleSize is a rule that no policy file states.
const ruleSize = "size-has-a-limit"

// tooLong is what is known of a statement that is too large to be taken in.
func tooLong(beginning string) query.Statement {
	return query.Statement{SQL: beginning, Kind: query.Unknown, Signs: []query.Sign{query.Unparsable}, Problem: query.ProblemTooLong, Partial: true}
}

// oversize is the verdict on a request that is too large to be taken in.
func oversize(o *wire.Oversize) policy.Verdict {
	what := "a statement"
	if o.Parameters {
		what = "a message with parameters"
	}
	return policy.Verdict{Effect: policy.Deny, Rule: ruleSize, Reason: fmt.Sprintf("%s of %d bytes is larger than the limit of %d", what, o.Bytes, o.Limit)}
}

// sayOversize is what the client is told of it.
func sayOversize(o *wire.Oversize, v policy.Verdict) postgres.Say {
	hint := "load bulk data with COPY, or send several statements"
	if o.Parameters {
		hint = "load bulk data with COPY, or send less at a time"
	}
	return postgres.Say{Severity: "ERROR", Code: "54000", Message: v.Reason, Hint: hint}
}

// noteOversize says in the record that it has the beginning only, and proves the rest.
func noteOversize(ev *audit.Event, o *wire.Oversize, secret bool) {
	if o == nil || o.Parameters || secret {
		return // a hash would tell who guesses whether they guess the secret
	}
	ev.SQLHash, ev.Cut = hex.EncodeToString(o.SHA256), []string{"sql"}
}
