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
	Pass    Action = iota // bookkeeping and data of a statement already decided
	Prepare               // SQL is parsed under a name and may run later
	Run                   // SQL runs now with Params
	Call                  // a function is called without SQL (PostgreSQL's fast path)
)

// Param is one bind parameter.
type Param struct {
	Value   []byte // nil is NULL
	Binary  bool
	TypeOID uint32 // 0 if the client left it to the server
}

// Prepared is a statement the client has named. Data belongs to whoever decides:
// it attaches what it worked out at Prepare and finds it again at Run.
type Prepared struct {
	Name    string
	SQL     string
	Types   []uint32 // parameter types, as far as known
	Columns []Column // result columns once the server has told them
	Data    any
}

// Request is one message of a client, or the bytes of several that need no decision.
type Request struct {
	Seq      uint64    // grows by one per request of a session
	Action   Action    //
	SQL      string    // "" if the frame runs nothing
	Params   []Param   //
	Prepared *Prepared // set when SQL was or is being named
	Frame    any       // the adapter's own
}

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
	Raw      Kind = iota // bytes that can be handed back as they are
	Columns              // a result begins; its Columns are known
	Row                  // one row, of a request that asked to see rows
	CopyRow              // one piece of COPY data, of a request that asked to see rows
	Message              // error or notice about the statement, or a notification
	Done                 // one statement ended: Err "" is success
	Ready                // the server waits for the next request
	Setting              // a session setting was reported
)

// Reply is one step of an answer.
type Reply struct {
	Seq     uint64   // of the request it answers; 0 if it answers none
	Kind    Kind     //
	Columns []Column //
	Row     [][]byte // nil element is NULL
	Err     string   // message of the error
	Code    string   // SQLSTATE
	Tag     string   // command tag
	Rows    int64    // returned or affected, with Done
	Bytes   int64    // of row and COPY data, with Done
	Frame   any      // the adapter's own
}
