package query

// Attached is what hangs on a relation and acts when it is read or written, beside
// what the statement says.
type Attached struct {
	Ref         Ref
	View        bool
	Definition  string // of a view
	Partitioned bool
	Triggers    []Trigger
	Rules       []Rule
	Keys        []Key // foreign keys by which other relations refer to it
	Parents     []Ref // whose rows its rows are too: what it inherits from or is a partition of
	Children    []Ref
	Calls       []Hook // users' functions in its defaults, checks, indexes and policies
	Dependents  []Ref  // views over it
}

// Trigger is one that may fire; disabled ones are left out.
type Trigger struct {
	Name    string
	Runs    *Routine // nil if it is the server's own, which changes no other row
	On      []Kind   // Insert, Update, Delete, Truncate
	Columns []string // of UPDATE OF; none is all
	Row     bool     // once per row, else once per statement
	Instead bool     // INSTEAD OF, on views
	Clone   bool     // of a trigger of a partitioned parent, which is attached there
}

// Rule is a rewrite rule for a write.
type Rule struct {
	Name    string
	On      Kind
	Instead bool     // always, so that the statement itself does not run
	Runs    *Routine // its Language is RuleActions
}

// RuleActions is the Language of a rule: its Body is the CREATE RULE statement.
const RuleActions = "rule"

// Key is a foreign key of relation From that refers to the relation it hangs on.
type Key struct {
	Name               string
	From               Ref
	OnDelete, OnUpdate Kind     // what happens to the referring rows: Delete or Update; Unknown is nothing
	Columns, Own       []string // referred to, and referring
	Valid              bool     // all rows were checked; what is added NOT VALID may refer to nothing
}

// Hook is a function of a user that the server calls by itself.
type Hook struct {
	Runs *Routine
	On   []Kind // Insert, Update, Delete; Select is any use of the relation
	Why  string // "check price_positive", "default of id", "policy tenants"
}

// Attacher is a Schema that knows what hangs on relations.
type Attacher interface {
	// Attached is what hangs on the relations that a name may mean; like Lookup, but
	// where a session may have given the name another meaning, that is not certain,
	// and this answers with all that it may still mean.
	Attached(schema, name string) []*Attached
	// EventTriggers are the routines that run when objects are changed by a command
	// with this tag; "" is any.
	EventTriggers(tag string) []Trigger
	// Dependents are the relations that go, or lose a part, with what has this name; of
	// a schema, those in it too. schema may be "".
	Dependents(of ObjectKind, schema, name string) []Ref
	// Extension reports whether an extension of that name is installed.
	Extension(name string) bool
}

// ObjectKind says what sort of thing a name stands for.
type ObjectKind string

// The kinds of things that relations depend on.
const (
	SchemaObject    ObjectKind = "schema"
	TypeObject      ObjectKind = "type" // domains too
	RoutineObject   ObjectKind = "routine"
	ExtensionObject ObjectKind = "extension"
	RelationObject  ObjectKind = "relation"
)

// Consequence is what a statement sets off beside what it says.
type Consequence struct {
	Ref  Ref    // the relation
	Kind Kind   // how it is written; Select if it is only read
	Why  string // "trigger audit on public.orders", "foreign key … of public.orders"
}
