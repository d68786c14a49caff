// Package wire is what a statement and its answer look like when the protocol
// they came by does not matter. A protocol adapter makes Requests out of what a
// client sends and Replies out of what a database answers; policy, approval,
// masking and record work on these and never see a protocol message.
package wire

// Action is what a request would cause the database to do.
type Action int

// The actions. Pass needs no decision; the others must be decided before the
// request is sent on.
const (
	Pass    Action = iota // bookkeeping, and data of a statement already decided
	Prepare               // SQL is parsed under a name and may run later
	Run                   // SQL runs now with Params
	Call                  // a function is called without SQL (PostgreSQL's fast path)
)

// Param is one bind parameter as the client sent it.
type Param struct {
	Value   []byte // nil is NULL
	Binary  bool
	TypeOID uint32 // 0 if the client left it to the server
}

// Prepared is a statement that a client has named. Whoever decides attaches Data
// and Look when it is prepared, and finds them again when it runs.
type Prepared struct {
	Name  string
	SQL   string
	Types []uint32 // parameter types as far as the client gave them
	Data  any      // the decider's own
	Look  bool     // its rows must be seen one by one when it runs

	// Strange, if the decider sets it, says of the columns of a result that was to pass
	// unseen that they are not those that were decided on. Nothing of it is then shown.
	Strange func(columns []Column) bool
}

// Oversize says that a client sent more than is taken.
type Oversize struct {
	Bytes, Limit int
	Parameters   bool   // they are what is too large; else the text
	SHA256       []byte // of the whole text; nil with Parameters
}

// Request is one message of a client, or the bytes of several that need no
// decision. Frame aliases the reader's buffer until the next Read.
type Request struct {
	Seq      uint64 // grows by one per request of a session
	Action   Action
	SQL      string    // "" if the frame runs nothing
	Params   []Param   //
	Function uint32    // Call: the function's OID
	Prepared *Prepared // set when SQL is being named, or runs under a name
	Unnamed  bool      // runs under a name that was never given here: what it would do is not known
	Void     bool      // behind an error or a refusal of its group: whatever it is, the server passes it over
	Again    bool      // continues an execution that was already let through (a portal fetched in parts)
	Oversize *Oversize // it cannot be sent, only refused: of a text that is too large, SQL is the beginning
	Data     any       // the decider's own: comes back in each Reply
	Look     bool      // set by the decider: rows must be seen one by one
	Widths   []int     // set by the decider: how many columns rows may have to pass unseen, by statement; below 0 is any
	Gate     bool      // set by the decider: tell before anything of the answer is handed back
	Renames  bool      // set by the decider: may change what statement names mean
	Frame    any       // the adapter's own

	// Peek, if the decider sets it, is shown some of the rows of statement i that pass
	// unseen: those whose number Peeks says. They are valid until it returns.
	Peek func(i int, row [][]byte)

	// Strange is as Prepared's, for statement i of a text. The rows are then looked at.
	Strange func(i int, columns []Column) bool
}

// Rows that are peeked at: the first of a result, and one in PeekEvery after them.
const (
	PeekFirst = 4
	PeekEvery = 256
)

// Peeks says whether row n of a result, counted from 1, is peeked at.
func Peeks(n int64) bool { return n <= PeekFirst || n%PeekEvery == 0 }

// Column describes one result column.
type Column struct {
	Name     string
	TypeOID  uint32
	TableOID uint32
	Attr     int16
	Binary   bool
}

// Kind tells Replies apart.
type Kind int

// The kinds of reply.
const (
	Raw     Kind = iota // bytes that can be handed back as they are
	Begin               // the answer to a request with Gate begins; nothing of it was handed back yet
	Columns             // a result begins, of a request with Look
	Row                 // one row, of a request with Look
	Copy                // COPY data begins, of a request with Look
	CopyRow             // a piece of COPY data, of a request with Look
	Result              // what a function that was called by number returned: Data, nil for NULL
	Done                // one statement of the request ended
	Message             // a notice, or an error that ends no statement
	Notify              // a notification from another session
	Setting             // the server reports a session setting: Name and Value
)

// Reply is one step of an answer. What it points to is valid until the next Receive.
type Reply struct {
	Kind      Kind
	Of        *Request        // the request it answers; nil if it answers none
	Index     int             // which statement of the request, from 0
	Columns   []Column        // with Columns; nil if the server did not say
	Row       [][]byte        // with Row; a nil element is NULL
	Data      []byte          // with CopyRow and Result
	Binary    bool            // with Copy
	Fields    map[byte]string // with Message, Done, Notify: the message's fields by PostgreSQL's codes
	Name      string          // with Setting and Notify (channel)
	Value     string          // with Setting and Notify (payload)
	Tag       string          // with Done: command tag
	Rows      int64           // with Done: returned or affected
	Bytes     int64           // with Done: of row and COPY data, both ways
	Failed    bool            // with Done: ended by an error (Fields)
	Refused   bool            // with Done: failed because Sluice refused it
	Skipped   bool            // with Done: the server never looked at it, after an earlier error
	Suspended bool            // with Done: the portal has more rows
	Open      bool            // with Raw: ends in the middle of a message
	Frame     []byte          // bytes to hand back if nothing is changed; nil if nothing is owed
}
