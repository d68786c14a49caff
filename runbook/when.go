package runbook

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/sluicehq/sluice/internal/sheet"
)

// Limits of a condition, as those of a rule.
const (
	maxCondition = 4096    // bytes: far more than a person reads
	maxCost      = 100_000 // in CEL's units: a few milliseconds
)

// compiler reads conditions: of each step those that may speak of the steps before it.
type compiler struct {
	l     *loader
	names map[string]*cel.Type
}

func newCompiler(l *loader) *compiler {
	c := &compiler{l: l, names: map[string]*cel.Type{}}
	for _, p := range l.book.Parameters {
		t := map[Type]*cel.Type{Integer: cel.IntType, Number: cel.DoubleType, Boolean: cel.BoolType, Timestamp: cel.TimestampType}[p.Type]
		if t == nil {
			t = cel.StringType
		}
		if p.Optional && p.Default == nil {
			t = cel.DynType // it may be null
		}
		c.names["params."+p.Name] = t
	}
	return c
}

// known adds what later conditions may say of a step.
func (c *compiler) known(s *Step) {
	maps.Copy(c.names, map[string]*cel.Type{
		"steps." + s.Name + ".ran":  cel.BoolType,
		"steps." + s.Name + ".rows": cel.IntType,
		"steps." + s.Name + ".row":  cel.MapType(cel.StringType, cel.DynType),
	})
}

// compile reads the condition at a path; nil if there is none, or it is wrong. After a
// step it may speak of that step's own result.
func (c *compiler) compile(at, text string, after bool) *condition {
	if strings.TrimSpace(text) == "" {
		if c.l.given(at) {
			c.l.SayAt(at, "the condition is empty")
		}
		return nil
	}
	if len(text) > maxCondition {
		c.l.SayAt(at, "the condition is longer than %d bytes", maxCondition)
		return nil
	}
	names := maps.Clone(c.names)
	if after {
		names["rows"], names["turn"], names["row"] = cel.IntType, cel.IntType, cel.MapType(cel.StringType, cel.DynType)
	}
	opts := []cel.EnvOption{cel.ParserExpressionSizeLimit(maxCondition), cel.ParserRecursionLimit(100)}
	for name, t := range names {
		opts = append(opts, cel.Variable(name, t))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		c.l.SayAt(at, "the condition cannot be read: %v", err)
		return nil
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		c.flaws(at, text, names, issues)
		return nil
	}
	if ast.OutputType() != cel.BoolType {
		c.l.SayAt(at, "the condition must be true or false, this is of type %s", ast.OutputType())
		return nil
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost))
	if err != nil {
		c.l.SayAt(at, "the condition cannot be read: %v", err)
		return nil
	}
	cond := &condition{text: strings.TrimSpace(text), program: program, columns: columnsOf(ast.NativeRep().Expr())}
	for _, ref := range ast.NativeRep().ReferenceMap() {
		if names[ref.Name] != nil && !slices.Contains(cond.names, ref.Name) {
			cond.names = append(cond.names, ref.Name)
		}
	}
	slices.Sort(cond.names)
	return cond
}

// columnsOf finds the columns of rows that an expression looks at.
func columnsOf(e celast.Expr) map[string][]string {
	out, told := map[string][]string{}, map[int64]bool{}
	row := func(x celast.Expr) (string, bool) {
		if x.Kind() != celast.IdentKind {
			return "", false
		}
		name := x.AsIdent()
		return name, name == "row" || strings.HasPrefix(name, "steps.") && strings.HasSuffix(name, ".row")
	}
	note := func(x celast.Expr, column string) {
		if name, ok := row(x); ok && !told[x.ID()] {
			told[x.ID()] = true
			out[name] = append(out[name], column)
		}
	}
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(x celast.Expr) {
		switch x.Kind() {
		case celast.SelectKind:
			note(x.AsSelect().Operand(), x.AsSelect().FieldName())
		case celast.CallKind:
			args := x.AsCall().Args()
			if x.AsCall().FunctionName() == operators.Index && len(args) == 2 && args[1].Kind() == celast.LiteralKind {
				if column, ok := args[1].AsLiteral().Value().(string); ok {
					note(args[0], column)
				}
			}
		case celast.IdentKind:
			note(x, AnyColumn) // used as a whole
		}
	}))
	return out
}

// Sees lists the result columns of a step that conditions look at, its own and those of
// later steps. A mask in one of them would be taken for its value.
func (b *Runbook) Sees(step string) (columns []string) {
	for i := range b.Steps {
		s := &b.Steps[i]
		for _, c := range []*condition{s.when, s.expect, s.while} {
			if c == nil {
				continue
			}
			columns = append(columns, c.columns["steps."+step+".row"]...)
			if s.Name == step {
				columns = append(columns, c.columns["row"]...)
			}
		}
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}

var (
	quotedText = regexp.MustCompile(`"(\\.|[^"\\])*"|'(\\.|[^'\\])*'`)
	dotted     = regexp.MustCompile(`\b[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*`)
	unknown    = regexp.MustCompile(`^undeclared reference to '([^']+)'`)
)

// flaws words what is wrong with a condition. A name that there is not is said whole,
// with the nearest there is.
func (c *compiler) flaws(at, text string, names map[string]*cel.Type, issues *cel.Issues) {
	known := slices.Sorted(maps.Keys(names))
	misspelt := false
	blank := quotedText.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat(" ", len(s)) })
	for i, line := range strings.Split(blank, "\n") {
		for _, name := range dotted.FindAllString(line, -1) {
			first, _, _ := strings.Cut(name, ".")
			if first != "params" && first != "steps" || slices.ContainsFunc(known, func(k string) bool { return k == name || strings.HasPrefix(name, k+".") }) {
				continue
			}
			misspelt = true
			c.l.SayInside(at, i+1, "the condition speaks of %q%s", name, sheet.DidYouMean(name, known))
		}
	}
	for _, e := range issues.Errors() {
		message := strings.Replace(e.Message, " (in container '')", "", 1)
		m := unknown.FindStringSubmatch(message)
		switch {
		case m == nil:
			c.l.SayInside(at, e.Location.Line(), "the condition cannot be read: %s", strings.TrimPrefix(message, "Syntax error: "))
		case !misspelt:
			c.l.SayInside(at, e.Location.Line(), "there is no %q%s", m[1], sheet.DidYouMean(m[1], known))
		}
	}
}

// errCondition says that a condition gave neither true nor false.
var errCondition = errors.New("the condition is neither true nor false")

// holds works a condition out. One that cannot be is an error, never true.
func (c *condition) holds(facts map[string]any) (bool, error) {
	out, _, err := c.program.Eval(facts)
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.text, err)
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("%s: %w", c.text, errCondition)
	}
	return bool(b), nil
}

// sayFacts is what a condition saw, for people: "rows is 0".
func (c *condition) sayFacts(facts map[string]any) string {
	var parts []string
	for _, name := range c.names {
		if v := facts[name]; v != nil {
			parts = append(parts, fmt.Sprintf("%s is %s", name, brief(fmt.Sprint(v))))
		}
	}
	return strings.Join(parts, ", ")
}

// fact is a parameter's value as conditions see it.
func (p *Parameter) fact(v *string) any {
	if v == nil {
		return types.NullValue
	}
	switch p.Type {
	case Integer:
		if n, err := strconv.ParseInt(*v, 10, 64); err == nil {
			return n
		}
	case Number:
		if f, err := strconv.ParseFloat(*v, 64); err == nil {
			return f
		}
	case Boolean:
		return *v == "true"
	case Timestamp:
		if t, err := time.Parse(time.RFC3339Nano, *v); err == nil {
			return t
		}
	}
	return *v
}

// PostgreSQL's own numbers of types that conditions see as more than text.
const (
	oidBool, oidInt8, oidInt2, oidInt4, oidFloat4, oidFloat8, oidNumeric = 16, 20, 21, 23, 700, 701, 1700
)

// rowFact is a row as conditions see it: whole numbers, numbers and truth values as what
// they are, everything else, and what was masked, as text.
func rowFact(columns []Column, row []*string) map[string]any {
	out := make(map[string]any, len(columns))
	for i, col := range columns {
		if i >= len(row) || row[i] == nil {
			out[col.Name] = types.NullValue
			continue
		}
		v := *row[i]
		out[col.Name] = v
		switch col.OID {
		case oidBool:
			if v == "t" || v == "f" {
				out[col.Name] = v == "t"
			}
		case oidInt2, oidInt4, oidInt8:
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				out[col.Name] = n
			}
		case oidFloat4, oidFloat8, oidNumeric:
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				out[col.Name] = f
			}
		}
	}
	return out
}
