package gateway

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/query"
)

// step is one message: what it holds, and how things stood when it was judged.
type step struct {
	sql     string
	quiet   bool // all that was sent is answered
	open    bool // and the last answer said that a block is open
	private bool // touches personal data
	held    bool
	gated   bool // wanted
}

// bank is a catalogue of two tables.
type bank struct{}

func (bank) Lookup(_, name string) []*query.Relation {
	columns := map[string][]string{"accounts": {"id", "balance"}, "history": {"id"}}[name]
	if columns == nil {
		return nil
	}
	return []*query.Relation{{Schema: "public", Name: name, Kind: query.Table, Columns: columns}}
}

func (bank) Harmless(_, _ string) bool { return false }

// In a block that is open, for certain, only what makes it last waits for the disk.
func TestAnswersThatWaitForTheDisk(t *testing.T) {
	const write, read = "update accounts set balance = balance + 1 where id = 7", "select balance from accounts where id = 7"
	in := func(sql string, gated bool) step { return step{sql: sql, quiet: true, open: true, gated: gated} }
	begin := step{sql: "begin", quiet: true}
	for name, steps := range map[string][]step{
		"a write of its own":             {{sql: write, quiet: true, gated: true}},
		"a block":                        {begin, in(write, false), in(read, false), in("insert into history values (1)", false), in("commit", true)},
		"END":                            {begin, in(write, false), in("end", true)},
		"COMMIT AND CHAIN":               {begin, in(write, false), in("commit and chain", true), in(write, false), in("commit", true)},
		"PREPARE TRANSACTION":            {begin, in(write, false), in("prepare transaction 'x'", true)},
		"only reads":                     {begin, in(read, false), in("commit", false)},
		"a savepoint":                    {begin, in(write, false), in("savepoint a", false), in(write, false), in("release a", false), in("commit", true)},
		"rows that come back":            {begin, in(write+" returning balance", true)},
		"a routine that is not known":    {begin, in("update accounts set balance = f(balance) where id = 7", true)},
		"a table that is not known":      {begin, in("delete from elsewhere where id = 7", true)},
		"personal data":                  {begin, {sql: write, quiet: true, open: true, private: true, gated: true}},
		"a write that was held":          {begin, {sql: write, quiet: true, open: true, held: true, gated: true}},
		"DDL":                            {begin, in("create table t (a int)", true)},
		"code":                           {begin, in("do 'begin end'", true)},
		"TRUNCATE":                       {begin, in("truncate accounts", true)},
		"the next block":                 {begin, in(write, false), in("commit", true), begin, in(read, false), in("commit", false)},
		"COMMIT hidden behind a write":   {begin, in(write, false), in(write+"; commit", true)},
		"BEGIN that nobody has answered": {begin, {sql: write, gated: true}},
		"COMMIT that nobody has answered": {begin, in(write, false), in("commit", true),
			{sql: write, open: true, gated: true}},
		"writes sent at once in a block": {begin, in(write, false), {sql: write, open: true}, {sql: "commit", open: true, gated: true}},
		"EXECUTE that hides a COMMIT":    {begin, in(write, false), in("execute c", true)},
	} {
		t.Run(name, func(t *testing.T) {
			var b block
			var got, want []bool
			for _, step := range steps {
				b.see(step.quiet, step.open)
				j := &job{}
				statements := query.Analyze(step.sql, bank{})
				for i := range statements {
					x := &run{text: &statements[i], means: &statements[i], about: &about{personal: step.private}}
					x.verdict.Effect = policy.Allow
					if step.held {
						x.verdict.Effect = policy.Hold
					}
					j.runs = append(j.runs, x)
					j.gated = j.gated || b.gates(x, len(statements) == 1)
				}
				b.sent(j)
				got, want = append(got, j.gated), append(want, step.gated)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("gated (-want +got):\n%s", d)
			}
		})
	}
}
