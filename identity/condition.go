package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// Limits of a condition on claims.
const (
	maxCondition     = 4096
	maxConditionCost = 100_000 // a few milliseconds
)

// condition is a compiled `when`: which tokens of an issuer a workload means.
type condition struct {
	program cel.Program
	text    string
}

// Flaw is a mistake in a condition or a name, at a line of it counted from 1.
type Flaw struct {
	Line int
	Text string
}

// compileCondition checks an expression on claims, types included. One that looks at no
// claim is refused: it would admit whatever the issuer signs, and the large ones sign
// for everybody.
func compileCondition(text string) (*condition, []Flaw) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, []Flaw{{1, `when is missing: say which of the issuer's tokens are meant, such as 'claims.repository == "acme/shop"'`}}
	case len(text) > maxCondition:
		return nil, []Flaw{{1, fmt.Sprintf("when is longer than %d bytes", maxCondition)}}
	}
	env, err := cel.NewEnv(cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.ParserExpressionSizeLimit(maxCondition), cel.ParserRecursionLimit(100))
	if err != nil {
		return nil, []Flaw{{1, err.Error()}}
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		var flaws []Flaw
		for _, e := range issues.Errors() {
			message := strings.Replace(strings.TrimPrefix(e.Message, "Syntax error: "), " (in container '')", "", 1)
			if strings.HasPrefix(message, "undeclared reference") {
				message += "; a condition speaks of claims, such as claims.repository"
			}
			flaws = append(flaws, Flaw{e.Location.Line(), "when: " + message})
		}
		return nil, flaws
	}
	// A claim alone is of no known type: what it is shows when a token comes.
	if t := ast.OutputType(); t != cel.BoolType {
		return nil, []Flaw{{1, fmt.Sprintf("when must be true or false, this is of type %s", t)}}
	}
	if !namesClaim(ast) {
		return nil, []Flaw{{1, "when looks at no claim, so it would admit everything that the issuer signs: compare one, such as claims.sub"}}
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxConditionCost))
	if err != nil {
		return nil, []Flaw{{1, "when: " + err.Error()}}
	}
	return &condition{program, text}, nil
}

func namesClaim(ast *cel.Ast) (found bool) {
	celast.PreOrderVisit(ast.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		found = found || e.Kind() == celast.IdentKind && e.AsIdent() == "claims"
	}))
	return found
}

// matches works the condition out. What cannot be, because a claim is not there or is
// of another type, is no match, and err says why.
func (c *condition) matches(claims map[string]any) (bool, error) {
	out, _, err := c.program.Eval(map[string]any{"claims": claims})
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, errors.New("it gave neither true nor false")
	}
	return bool(b), nil
}

// nameTemplate is text with claims in braces, such as "{repository}@{ref}".
type nameTemplate []string // text, claim, text, claim, …, text

func parseName(text string) (nameTemplate, error) {
	if text == "" {
		text = "{sub}"
	}
	var parts nameTemplate
	for {
		before, rest, open := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return nil, errors.New("name has a } without a {")
		}
		parts = append(parts, before)
		if !open {
			break
		}
		claim, after, closed := strings.Cut(rest, "}")
		if !closed || claim == "" || strings.ContainsAny(claim, "{ ") {
			return nil, errors.New("name has a { that no claim and } follow; write it as {repository}")
		}
		parts, text = append(parts, claim), after
	}
	if len(parts) == 1 {
		return nil, errors.New("name has no claim in it, so that all jobs would be called the same; write it as {repository}@{ref}")
	}
	return parts, nil
}

// fill puts claims in.
func (n nameTemplate) fill(claims map[string]any) (string, error) {
	var b strings.Builder
	for i, part := range n {
		if i%2 == 0 {
			b.WriteString(part)
			continue
		}
		value, ok := claimText(claims[part])
		if !ok {
			return "", fmt.Errorf("its name needs the claim %q, which it does not have as a text", part)
		}
		b.WriteString(value)
	}
	if err := plainName(b.String(), maxName); err != nil {
		return "", fmt.Errorf("its name %w", err)
	}
	return b.String(), nil
}

// claimText is a claim that is a text, a whole number or a truth.
func claimText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != ""
	case bool:
		return fmt.Sprint(v), true
	case float64:
		return fmt.Sprintf("%.0f", v), v == float64(int64(v))
	}
	return "", false
}

// keptClaims are the claims that say where a job came from: of GitHub, GitLab and
// Kubernetes, and those that every issuer has.
var keptClaims = []string{
	"repository", "repository_owner", "repository_id", "ref", "sha", "run_id", "run_attempt", "event_name", "actor", "job_workflow_ref", "environment",
	"project_path", "project_id", "namespace_path", "pipeline_id", "job_id", "ref_protected", "user_login", "ci_config_ref_uri", "pipeline_source",
	"sub", "jti",
}

// maxShown bounds one claim in the record.
const maxShown = 255

// shownClaims copies what the record keeps of a token.
func shownClaims(claims map[string]any) map[string]string {
	out := map[string]string{}
	for _, name := range keptClaims {
		if text, ok := claimText(claims[name]); ok && plainName(text, maxShown) == nil {
			out[name] = text
		}
	}
	if k8s, ok := claims["kubernetes.io"].(map[string]any); ok {
		if ns, ok := claimText(k8s["namespace"]); ok && plainName(ns, maxShown) == nil {
			out["kubernetes.namespace"] = ns
		}
		for _, of := range []string{"serviceaccount", "pod"} {
			if m, ok := k8s[of].(map[string]any); ok {
				if name, ok := claimText(m["name"]); ok && plainName(name, maxShown) == nil {
					out["kubernetes."+of] = name
				}
			}
		}
	}
	return out
}

// ClaimList gives claims as "name=value", sorted.
func ClaimList(claims map[string]string) []string {
	list := make([]string, 0, len(claims))
	for name, value := range claims {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}
