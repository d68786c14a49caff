package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
	"github.com/sluicehq/sluice/wire/postgres"
)

// call makes a statement of a function that is called by number (protocol section
// "Function Call"): the SELECT that would call it by name, with the arguments as
// parameters. All rules judge that; it runs only if one of them names the function.
// What a rule names is no longer of unknown effect for being that function, if it is
// PostgreSQL's own.
func (s *session) call(req *wire.Request, v view) *run {
	f, ok := v.known.Function(req.Function)
	if !ok {
		return refusedCall(fmt.Sprintf("(function %d)", req.Function), "no function of this number is known")
	}
	text := callText(pgx.Identifier{f.Schema, f.Name}.Sanitize(), len(req.Params))
	list := query.Analyze(text, v.schema)
	if len(list) != 1 {
		return refusedCall(text, "the call could not be read")
	}
	st := list[0]
	st.Kind, st.Tag = query.FunctionCall, "FUNCTION CALL"
	name := f.Schema + "." + f.Name
	may := s.policy.Rules.Callable(s.request(&st))
	if !slices.Contains(may, name) && (f.Schema != "pg_catalog" || !slices.Contains(may, f.Name)) {
		return refusedCall(text, fmt.Sprintf("no rule lets %s be called by number; call it with SELECT, or have function_calls of a rule name it", f.Name))
	}
	if f.Schema == "pg_catalog" {
		st.Signs = slices.DeleteFunc(slices.Clone(st.Signs), func(sign query.Sign) bool { return sign == query.UnknownRoutine })
	}
	x := &run{text: &st, means: &st, kept: text}
	x.verdict = s.decide(x)
	return x
}

func callText(function string, args int) string {
	marks := make([]string, args)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	return "select " + function + "(" + strings.Join(marks, ", ") + ")"
}

func refusedCall(text, why string) *run {
	st := &query.Statement{SQL: text, Problem: "a function called by number"}
	return &run{text: st, means: st, kept: text, verdict: policy.Verdict{Effect: policy.Deny, Rule: ruleFastPath, Reason: why}}
}

// returned hides what a function gave back unless all may be seen: nobody knows where
// it comes from. Numbers pass, since what they are is how such functions work: the
// descriptor of a large object, how much was written.
func (s *session) returned(r *wire.Reply) {
	_, x := runOf(r)
	if x == nil || !x.bare() && !s.isNumber(r.Of.Function) {
		postgres.Returning(r)
		if x != nil {
			x.masked++
		}
	}
}

func (s *session) isNumber(oid uint32) bool {
	f, ok := s.base.snapshot().Function(oid)
	return ok && f.Schema == "pg_catalog" && slices.Contains([]uint32{pgtype.BoolOID, pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, voidOID}, f.Returns)
}

// voidOID is PostgreSQL's type void.
const voidOID = 2278
