package cmd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sluicehq/sluice/catalog"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/policy"
)

// caseFile is a file with cases for a policy. A sheet reads it.
type caseFile struct {
	Schema   map[string]map[string]string `yaml:"schema"`   // table → column → type
	Labels   map[string]string            `yaml:"labels"`   // table.column → kind of personal data, or none
	Defaults caseContext                  `yaml:"defaults"` // of every case that does not say otherwise
	Tests    []policyCase                 `yaml:"tests"`    //
}

// caseContext is who asks, where and when.
type caseContext struct {
	Who        caseWho        `yaml:"who"`
	Connection caseConnection `yaml:"connection"`
	Time       string         `yaml:"time"` // RFC 3339
}

type caseWho struct {
	Email   string   `yaml:"email"`
	Groups  []string `yaml:"groups"`
	Kind    string   `yaml:"kind"`    // person, job or agent; default person
	Subject string   `yaml:"subject"` // default the email
	Owner   string   `yaml:"owner"`   // of an agent
}

type caseConnection struct {
	Name string `yaml:"name"`
	Env  string `yaml:"env"`
}

// policyCase is one statement, who sends it, and what must come of it.
type policyCase struct {
	Name       string         `yaml:"name"`
	Statement  string         `yaml:"statement"`
	Who        caseWho        `yaml:"who"`
	Connection caseConnection `yaml:"connection"`
	Time       string         `yaml:"time"`
	Expect     caseExpect     `yaml:"expect"`

	at string // path in the file
}

// caseExpect is what must come of a statement. What is left out does not matter.
type caseExpect struct {
	Effect    string   `yaml:"effect"`
	Rule      string   `yaml:"rule"`
	Reason    string   `yaml:"reason"`    // or a part of it
	Masks     []string `yaml:"masks"`     // result columns that are hidden
	Unmask    []string `yaml:"unmask"`    // kinds of personal data that are shown
	Approvers []string `yaml:"approvers"` // groups that are asked
	MaxRows   int      `yaml:"max_rows"`
}

// cases are those of one file, ready to be tried.
type cases struct {
	*sheet
	caseFile
	stage *gateway.Stage
	rules *policy.Rules
}

// readCases reads and checks a file with cases; all mistakes at once. Without stage the
// tables are those that the file declares.
func readCases(path string, data []byte, rules *policy.Rules, stage *gateway.Stage) (*cases, error) {
	c := &cases{sheet: &sheet{}, rules: rules, stage: stage}
	c.read(data, &c.caseFile)
	if err := c.err(path); err != nil {
		return nil, err
	}
	tables := c.tables()
	if stage == nil {
		c.stage = gateway.NewStage(tables)
	}
	if len(c.Tests) == 0 {
		c.sayAt("tests", "tests is missing or empty: write at least one case")
	}
	c.context("defaults", c.Defaults)
	for i := range c.Tests {
		c.Tests[i].at = fmt.Sprintf("tests[%d]", i)
		c.check(&c.Tests[i])
	}
	return c, c.err(path)
}

// tables are the declared ones, in the order of their names.
func (c *cases) tables() (out []catalog.Declared) {
	types := pgtype.NewMap()
	labelled := map[string]bool{}
	for _, name := range c.keys("schema") {
		schema, table, ok := strings.Cut(name, ".")
		if !ok {
			schema, table = "public", name
		}
		if c.stage != nil {
			c.sayAt("schema", "schema does not go with --dsn: the tables are those of the database")
			return nil
		}
		d := catalog.Declared{Schema: schema, Table: table}
		for _, column := range c.keys("schema." + name) {
			col := catalog.Column{Name: column, Type: c.Schema[name][column]}
			if col.TypeOID = typeOID(types, col.Type); col.TypeOID == 0 {
				c.sayAt("schema."+name+"."+column, "type %q is not one of PostgreSQL's own; for an enum or a domain write what is under it, such as text", short(col.Type, 40))
			}
			if label, ok := c.Labels[name+"."+column]; ok {
				labelled[name+"."+column] = true
				col.Label = declaredLabel(label)
			}
			d.Columns = append(d.Columns, col)
		}
		out = append(out, d)
	}
	for _, name := range c.keys("labels") {
		if !labelled[name] {
			c.sayAt("labels."+name, "there is no column %q under schema", name)
		}
	}
	return out
}

// keys are those of a map in the file, in their order there.
func (c *cases) keys(path string) []string { return c.Order[path] }

func declaredLabel(kind string) catalog.Label {
	if kind == "none" {
		return catalog.Label{Clean: true, Confidence: 1, Evidence: "declared"}
	}
	return catalog.Label{PII: true, Type: kind, Where: "whole", Confidence: 1, Evidence: "declared"}
}

// typeAliases are names of types that PostgreSQL's catalogue does not use.
var typeAliases = map[string]string{
	"integer": "int4", "int": "int4", "smallint": "int2", "bigint": "int8", "serial": "int4", "bigserial": "int8", "real": "float4",
	"double precision": "float8", "float": "float8", "decimal": "numeric", "boolean": "bool", "character varying": "varchar", "character": "bpchar",
	"char": "bpchar", "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz", "time without time zone": "time",
	"time with time zone": "timetz", "citext": "text",
}

// typeOID is the number of a type as people write it; 0 if it is not known.
func typeOID(types *pgtype.Map, name string) uint32 {
	name = strings.ToLower(strings.TrimSpace(name))
	base, array := strings.CutSuffix(name, "[]")
	if open := strings.IndexByte(base, '('); open >= 0 {
		if end := strings.IndexByte(base, ')'); end > open {
			base = strings.TrimSpace(base[:open]) + base[end+1:]
		}
	}
	if alias, ok := typeAliases[base]; ok {
		base = alias
	}
	if array {
		base = "_" + base
	}
	if t, ok := types.TypeForName(base); ok {
		return t.OID
	}
	return 0
}

// context checks who, where and when, in defaults or in a case.
func (c *cases) context(path string, x caseContext) {
	kinds := []string{"person", "job", "agent"}
	if x.Who.Kind != "" && !slices.Contains(kinds, x.Who.Kind) {
		c.sayAt(path+".who.kind", "kind is %q%s", short(x.Who.Kind, 40), didYouMean(x.Who.Kind, kinds))
	}
	if x.Time != "" {
		if _, err := time.Parse(time.RFC3339, x.Time); err != nil {
			c.sayAt(path+".time", "time is %q, must be such as 2026-06-01T15:04:05Z or 2026-06-01T15:04:05+02:00", short(x.Time, 40))
		}
	}
}

// check finds what could not be meant in a case.
func (c *cases) check(t *policyCase) {
	effects := []string{"allow", "hold", "deny"}
	c.context(t.at, caseContext{t.Who, t.Connection, t.Time})
	switch {
	case strings.TrimSpace(t.Statement) == "":
		c.sayAt(t.at, "the case has no statement")
	case !c.has(t.at, "expect") || len(c.Order[t.at+".expect"]) == 0:
		c.sayAt(t.at, "the case expects nothing; write expect: {effect: allow}")
	case t.Expect.Effect != "" && !slices.Contains(effects, t.Expect.Effect):
		c.sayAt(t.at+".expect.effect", "effect is %q%s", short(t.Expect.Effect, 40), didYouMean(t.Expect.Effect, effects))
	}
	for _, name := range strings.Split(t.Expect.Rule, ", ") {
		if name != "" && !slices.Contains(ruleNames(c.rules), name) {
			hint := ""
			if near := nearest(name, ruleNames(c.rules)); near != "" {
				hint = fmt.Sprintf(", did you mean %q?", near)
			}
			c.sayAt(t.at+".expect.rule", "the policy has no rule %q%s", short(name, 60), hint)
		}
	}
}

// ruleNames are those of the policy, and those that Sluice refuses by itself.
func ruleNames(rules *policy.Rules) []string {
	names := slices.Clone(gateway.OwnRules)
	for _, r := range rules.List {
		names = append(names, r.Name)
	}
	return names
}

// has reports whether a key stands in the file.
func (c *cases) has(path, key string) bool { return c.Lines[path+"."+key] != 0 }

// given takes from the case what it says, and else from the defaults.
func (c *cases) given(t *policyCase) gateway.Rehearsal {
	who, conn, at := t.Who, t.Connection, t.Time
	pick := func(key string, dst *string, otherwise string) {
		if !c.has(t.at, key) {
			*dst = otherwise
		}
	}
	d := c.Defaults
	pick("who.email", &who.Email, d.Who.Email)
	pick("who.kind", &who.Kind, d.Who.Kind)
	pick("who.subject", &who.Subject, d.Who.Subject)
	pick("who.owner", &who.Owner, d.Who.Owner)
	if !c.has(t.at, "who.groups") {
		who.Groups = d.Who.Groups
	}
	pick("connection.name", &conn.Name, d.Connection.Name)
	pick("connection.env", &conn.Env, d.Connection.Env)
	pick("time", &at, d.Time)
	moment := caseTime
	if at != "" {
		moment, _ = time.Parse(time.RFC3339, at) // it was checked
	}
	id := identity.Identity{Subject: who.Subject, Email: who.Email, Groups: who.Groups, Kind: identity.Kind(who.Kind), Owner: who.Owner, Method: "test", Expires: moment.Add(time.Hour)}
	id.Writes = id.Kind == identity.Agent // what its token says is not what is tested here
	if id.Kind == identity.Nobody {
		id.Kind = identity.Person
	}
	for _, name := range []string{id.Email, "somebody"} {
		if id.Subject == "" {
			id.Subject = name
		}
	}
	if conn.Name == "" {
		conn.Name = "database"
	}
	return gateway.Rehearsal{Rules: c.rules, Who: id, Connection: policy.Connection{Name: conn.Name, Env: conn.Env}, At: moment}
}

// caseTime is when a case without a time is tried: a Wednesday at noon, so that it
// comes out the same on every day.
var caseTime = time.Date(2026, 6, 3, 12, 0, 0, 0, time.UTC)
