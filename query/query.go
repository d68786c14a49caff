// Package query knows what a statement would do: its kind, the relations and
// columns it reads and writes, where every output column comes from, and the
// signs of danger in it. It parses with PostgreSQL's own grammar and never
// guesses: what it cannot work out is Unknown, or a column with Known false.
// The package is pure: no I/O, no clock, no goroutines.
package query

import (
	"slices"
	"strings"
)

// Kind is the effect of a statement. The zero value is Unknown: nothing is
// known about it, and it must be treated as the worst.
type Kind string

// The kinds of statement, from what the grammar says and what the catalogue adds.
const (
	Unknown      Kind = ""              // not parsed, or of unknown effect
	Select       Kind = "select"        // reads only, VALUES and TABLE included
	Insert       Kind = "insert"        //
	Update       Kind = "update"        //
	Delete       Kind = "delete"        //
	Merge        Kind = "merge"         //
	CopyTo       Kind = "copy_to"       // COPY … TO STDOUT
	CopyFrom     Kind = "copy_from"     // COPY … FROM STDIN
	DDL          Kind = "ddl"           // CREATE, ALTER, COMMENT, …
	Drop         Kind = "drop"          // DROP of anything, DROP OWNED
	Truncate     Kind = "truncate"      //
	Grant        Kind = "grant"         // GRANT, REVOKE, role and privilege changes
	Transaction  Kind = "transaction"   // BEGIN, COMMIT, SAVEPOINT, …
	Set          Kind = "set"           // SET, RESET, SET ROLE, …
	Show         Kind = "show"          // SHOW
	Explain      Kind = "explain"       // EXPLAIN without ANALYZE; with it the inner kind
	Prepare      Kind = "prepare"       // PREPARE name AS inner
	Execute      Kind = "execute"       // EXECUTE name
	Deallocate   Kind = "deallocate"    // DEALLOCATE name|ALL
	Declare      Kind = "declare"       // DECLARE cursor FOR inner
	Fetch        Kind = "fetch"         // FETCH, MOVE
	Close        Kind = "close"         // CLOSE cursor
	Listen       Kind = "listen"        // LISTEN, UNLISTEN, NOTIFY
	Maintain     Kind = "maintain"      // VACUUM, ANALYZE, REINDEX, CLUSTER, CHECKPOINT; CREATE EXTENSION IF NOT EXISTS of one that is there
	Lock         Kind = "lock"          // LOCK TABLE
	Call         Kind = "call"          // CALL of a procedure whose body is known
	Do           Kind = "do"            // DO whose body is known
	FunctionCall Kind = "function_call" // the protocol's call of a function by number; no text has it
	Empty        Kind = "empty"         // nothing but white space and comments
)

// Sign is something about a statement that makes people careful.
type Sign string

// The signs that the built-in policy looks at; later ones only add to the list.
const (
	NoWhere        Sign = "no_where"        // UPDATE or DELETE of every row: WHERE missing or always true
	Destructive    Sign = "destructive"     // DROP, TRUNCATE, DROP COLUMN: what is gone cannot be rolled forward
	Program        Sign = "program"         // COPY … PROGRAM: runs a command on the server
	ServerFile     Sign = "server_file"     // COPY to or from a file on the server, pg_read_file, lo_import
	DynamicSQL     Sign = "dynamic_sql"     // DO, EXECUTE in a body, query_to_xml, dblink: what runs is not in the text
	Privilege      Sign = "privilege"       // changes who may do what
	SessionState   Sign = "session_state"   // SET ROLE, search_path, session_authorization, row_security, set_config
	UnknownRoutine Sign = "unknown_routine" // calls a function whose effect is not known to be none
	Unparsable     Sign = "unparsable"      // the grammar refuses it
	SystemCatalog  Sign = "system_catalog"  // writes to PostgreSQL's own tables by hand
	Signals        Sign = "signals"         // pg_notify, pg_advisory_lock with values that the client did not send: other sessions see them
	TableLock      Sign = "table_lock"      // keeps others out of a table while it runs, or until the transaction ends
	RowLock        Sign = "row_lock"        // SELECT … FOR UPDATE, SHARE and the like: who would change these rows waits until the transaction ends
	AdvisoryLock   Sign = "advisory_lock"   // takes a lock that only programs know the meaning of
	LongRunning    Sign = "long_running"    // waits, or makes rows, for long
	ServerCode     Sign = "server_code"     // CREATE FUNCTION, TRIGGER, RULE, EXTENSION, …: code that runs later
)

// Ref names a column, or a relation if Column is "".
type Ref struct {
	Schema, Table, Column string
}

// String is schema.table or schema.table.column, without quoting; a relation
// that is in no catalogue and was written without a schema has none.
func (r Ref) String() string {
	s := r.Table
	if r.Schema != "" {
		s = r.Schema + "." + s
	}
	if r.Column != "" {
		s += "." + r.Column
	}
	return s
}

// How says by which way a source reaches an output column.
type How string

// Direct is the value itself; Derived went through an expression; of what is Counted the
// output says no more than whether it is there.
const (
	Direct  How = "direct"
	Derived How = "derived"
	Counted How = "counted"
)

// Source is one base column whose value reaches an output column.
type Source struct {
	Ref Ref
	How How
}

// Column is one output or written column. Known false means that its sources
// could not be worked out; Sources is then at best a part.
type Column struct {
	Name    string
	Sources []Source
	Known   bool
	Swayed  []Ref // columns that choose between its values: by CASE, by what is counted or looked up
}

// Statement is what one statement of a message would do. Nothing in it is
// changed after Analyze returns, so it may be cached and shared.
type Statement struct {
	SQL          string        // its own text, cut out of the message
	Fingerprint  string        // equal for statements that differ in constants, spacing and case only
	Kind         Kind          //
	Tag          string        // leading words for people: "DROP TABLE", "UPDATE"
	Changes      int           // INSERT, UPDATE, DELETE and MERGE in it, at any depth; the server counts the rows of the outermost only
	Inside       []Kind        // kinds of the statements, but SELECT, that routines it calls would run
	Writes       bool          // changes data, in any part of it (CTE, EXPLAIN ANALYZE, …)
	Reads        []Ref         // columns read anywhere; a relation of which no column is read appears as Ref{Column: ""}
	Relations    []Ref         // relations read
	Targets      []Ref         // relations written, created, altered, dropped, truncated, those that only its consequences write included
	Target       *Ref          // the one written relation whose columns Output describes; nil for reads
	Output       []Column      // value sources of each result column, or of each written column if Target is set; a star that could not be expanded is one column Star with Known false
	Returning    []Column      // result columns of INSERT, UPDATE, DELETE, MERGE … RETURNING
	Indirect     []Ref         // columns that steer: filter, join, group, sort
	Roles        map[Ref]Role  // as what those of Indirect steer, as far as it is known
	Functions    []string      // functions called, as written, lower case, schema-qualified where the text is
	Signs        []Sign        //
	Consequences []Consequence // what it sets off: triggers, rules, cascades, routines, partitions; what of it is written is in Targets too
	Name         string        // prepared statement or cursor named by PREPARE, EXECUTE, DEALLOCATE, DECLARE, FETCH, CLOSE; "" means ALL for DEALLOCATE
	Inner        *Statement
	SetName      string            // parameter of SET, lower case: "search_path", "role"; "all" for RESET ALL, DISCARD ALL
	SetTo        string            // value of SET, lower case, if it is one constant; "" for DEFAULT and RESET
	Options      map[string]string // options of COPY, lower-case names
	Problem      string            // why it is Unknown, for people
	Like         *Statement        // another that differs in constants only, shared by all of its shape; nil if there is none
	Puts         []Put             // columns written, at any depth and in routines, and with what
	Exits        []Exit            // what it gives to functions that take it to where no label follows
	Probes       []Ref             // columns that steer by more than being equal to something, or absent: patterns, ranges, expressions
	Fails        []Ref             // columns that decide whether it fails, or what code in it does, by what is computed of them
	Barred       []Ref             // those of Fails that decide it by what a table has against what is written into it
	Reckoned     [][2]Ref          // pairs of columns of which something is reckoned that may be too large: where the first is personal and the second is not, that may have been chosen
	Scales       []Scale           // parameters that columns are reckoned with
	Orders       []Ref             // columns that only sort or group, as they are
	Equals       []Ref             // columns compared with constants or parameters for being equal
	Joins        [][2]Ref          // pairs of columns compared with each other for being equal
	Folded       []Ref             // columns that routines read which may run when the statement is planned: a plan can show what they give
	Made         *Made             // the table that it makes, if all columns of it are known
	Still        bool              // DDL that changes neither the meaning of a name nor a value
	Partial      bool              // Reads, Relations, Output or Indirect may lack something that could not be resolved
}

// Scale is a parameter that columns are reckoned with. One that is larger than Most, or not
// known, may have been chosen so that the result is too large for some of their values.
type Scale struct {
	Param int // from 1
	Most  float64
	Of    []Ref
}

// Star names the output column that stands for a star nobody could expand: from
// it on, positions in Output are not those of the result.
const Star = "*"

// Results are the columns that leave for the client if the statement returns rows:
// Output of a read, Returning of a write. EXPLAIN, with ANALYZE or without,
// returns its plan. ok is false if the result columns could not be worked out;
// every one of them is then unknown.
func (s *Statement) Results() (cols []Column, ok bool) {
	if strings.HasPrefix(s.Tag, "EXPLAIN") {
		return []Column{s.plan()}, true
	}
	switch s.Kind {
	case Select, CopyTo, Show:
		cols, ok = s.Output, s.Output != nil
	case Insert, Update, Delete, Merge:
		cols, ok = s.Returning, true
	case DDL, Drop, Truncate, Grant, Transaction, Set, Prepare, Deallocate, Declare,
		Close, Listen, Maintain, Lock, CopyFrom, Do, Empty:
		return nil, true
	}
	for _, c := range cols {
		if c.Name == Star && !c.Known {
			return nil, false
		}
	}
	return cols, ok
}

// plan is the one column of EXPLAIN. A plan shows constants, also those that an
// immutable function made while planning, of whatever it read; it shows no rows.
func (s *Statement) plan() Column {
	c := Column{Name: "QUERY PLAN", Known: !s.Has(UnknownRoutine) && !s.Has(DynamicSQL) && !s.Has(ServerFile)}
	for in := s; in != nil; in = in.Inner {
		for _, ref := range in.Folded {
			c.Sources = append(c.Sources, Source{ref, Derived})
		}
	}
	return c
}

// Planned is EXPLAIN EXECUTE as text, without ANALYZE, where the prepared statement is
// known: it plans that one.
func Planned(text, prepared *Statement) *Statement {
	st := *text
	if prepared.Kind == Unknown {
		return prepared
	}
	st.Relations, st.Reads, st.Indirect, st.Partial = prepared.Relations, prepared.Reads, prepared.Indirect, prepared.Partial
	st.Roles = prepared.Roles
	st.Probes, st.Orders, st.Equals, st.Joins, st.Folded = prepared.Probes, prepared.Orders, prepared.Equals, prepared.Joins, prepared.Folded
	st.Fails, st.Barred, st.Reckoned, st.Scales = prepared.Fails, prepared.Barred, prepared.Reckoned, prepared.Scales
	st.Signs = append(slices.Clone(text.Signs), prepared.Signs...)
	return &st
}

// Has reports whether the statement, or the one inside it, shows sign.
func (s *Statement) Has(sign Sign) bool {
	for _, x := range s.Signs {
		if x == sign {
			return true
		}
	}
	return s.Inner != nil && s.Inner.Has(sign)
}

// Runs reports whether routines that the statement calls, or the one inside it, would
// run statements of one of these kinds.
func (s *Statement) Runs(kinds ...Kind) bool {
	for _, k := range kinds {
		if slices.Contains(s.Inside, k) {
			return true
		}
	}
	return s.Inner != nil && s.Inner.Runs(kinds...)
}

// RelationKind tells tables from views.
type RelationKind string

// The kinds of relation the catalogue knows.
const (
	Table            RelationKind = "table"
	View             RelationKind = "view"
	MaterializedView RelationKind = "matview"
	ForeignTable     RelationKind = "foreign"
)

// Relation is what Analyze must know of a table or view.
type Relation struct {
	Schema, Name string
	Kind         RelationKind
	Columns      []string // in attribute order, dropped ones left out
	Types        []string // of each column, as the catalogue writes them; may be empty
	Required     []string // columns that are never NULL
	Definition   string   // the SELECT of a view, as pg_get_viewdef prints it
	Limited      []string // columns by whose values a write may fail: keys, checks, domains, partitions; Star for all
	Fresh        []string // the same of what was made after the catalogue was first read, with lengths, triggers and rules, and without keys
	Rows         float64  // the planner's count when the catalogue was read; 0 if there is none
}

// Schema is the catalogue as Analyze needs it. Implementations are immutable
// snapshots: the same question always has the same answer.
type Schema interface {
	// Lookup finds the relations that name may mean. With schema "" it searches
	// the path; it returns every candidate when the path in force is not known.
	// An empty answer means that the relation is not in the catalogue.
	Lookup(schema, name string) []*Relation
	// Harmless reports whether every function of that name (schema may be "")
	// is known to have no effect beside its result.
	Harmless(schema, name string) bool
}

// Placer is a Schema that knows in which schema CREATE puts a relation whose
// name has none: the first of the search path.
type Placer interface {
	// Creates answers "" if the path in force is not known.
	Creates() string
}
