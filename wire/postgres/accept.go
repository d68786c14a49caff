package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgproto3/v2"
)

// startupTime bounds the whole login of a client. A person types no password here,
// so a healthy client needs milliseconds.
const startupTime = 10 * time.Second

// Codes that stand where a protocol version is expected (protocol section
// "Message Formats").
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104
)

// tlsRecord is the first byte of a TLS handshake, with which a client begins that
// was told sslnegotiation=direct.
const tlsRecord = 0x16

// noTLS is a TLS alert, handshake_failure (RFC 8446 section 6): all that a client
// that speaks TLS can be told.
var noTLS = []byte{0x15, 3, 3, 0, 2, 2, 40}

// Startup is what a client asked for when it connected.
type Startup struct {
	User     string
	Database string
	Params   map[string]string // other parameters: application_name, client_encoding, …
	Cancel   *Key              // set if the client only wants a statement cancelled; the rest is then empty
}

// Login is an error that the client has been told of in its own protocol.
type Login struct {
	Say   Say
	Cause error // what the gateway's log should have besides; the client is not told
}

func (l *Login) Error() string { return l.Say.Message }

// Unwrap gives the cause.
func (l *Login) Unwrap() error { return l.Cause }

// Accept reads a client's startup and checks its password against verifier, a
// SCRAM-SHA-256 verifier in PostgreSQL's form; "" asks for none. It answers
// SSLRequest and GSSENCRequest with no: the connection is encrypted further out, or
// local. It allows ten seconds and 10,000 bytes. The client is told nothing of
// success yet: Ready does that once the database is there.
func Accept(ctx context.Context, conn net.Conn, verifier string) (*Client, Startup, error) {
	if err := conn.SetDeadline(time.Now().Add(startupTime)); err != nil {
		return nil, Startup{}, err
	}
	stop := context.AfterFunc(ctx, func() { interrupt(conn) })
	defer stop()
	c := newClient(conn, newReader(conn))
	c.in.buf = make([]byte, someBuffer) // all that a client of another protocol begins with: what is not read resets the connection
	st, err := c.startup()
	if err != nil || st.Cancel != nil {
		return c, st, c.tell(err)
	}
	if err := c.tell(st.check()); err != nil {
		return c, st, err
	}
	if verifier != "" {
		if err := c.tell(c.authenticate(verifier)); err != nil {
			return c, st, err
		}
	}
	c.in.shrink()
	return c, st, conn.SetDeadline(time.Time{})
}

// tell sends a refusal of the login to the client, if err is one, or what it did
// wrong, if it is one that speaks PostgreSQL's protocol.
func (c *Client) tell(err error) error {
	var login *Login
	var wrong *Violation
	switch {
	case c.told:
	case errors.As(err, &login):
		c.Part(login.Say)
	case errors.As(err, &wrong) && c.speaks:
		c.Part(wrong.Say())
	}
	return err
}

func refuseLogin(code, hint, format string, args ...any) error {
	return &Login{Say: Say{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}}
}

// startup reads packets until one says what the client wants.
func (c *Client) startup() (Startup, error) {
	asked := map[uint32]bool{} // SSLRequest and GSSENCRequest may each come once before it
	for {
		if err := c.in.fill(1); err != nil {
			return Startup{}, err
		}
		if c.in.rest()[0] == tlsRecord {
			return Startup{}, c.refuseTLS()
		}
		packet, code, err := c.packet()
		if err != nil {
			return Startup{}, err
		}
		switch {
		case code == codeSSL || code == codeGSS:
			c.speaks = true
			if len(packet) != 0 || asked[code] {
				return Startup{}, violation("malformed or repeated request for encryption")
			}
			asked[code] = true
			if _, err := c.conn.Write([]byte{'N'}); err != nil {
				return Startup{}, err
			}
		case code == codeCancel:
			return cancelKey(packet)
		case code>>16 == 3:
			return c.parameters(packet, code&0xffff)
		case code>>16 < 3:
			return Startup{}, c.refuseOld(code)
		default:
			return Startup{}, refuseLogin("0A000", newer, unsupported, code>>16, code&0xffff)
		}
	}
}

const (
	unsupported = "unsupported frontend protocol %d.%d: server supports 3.0"
	newer       = "use a client that speaks version 3 of the protocol, as all since PostgreSQL 7.4 do"
)

// packet reads one packet of a startup: what follows its length and code.
func (c *Client) packet() (rest []byte, code uint32, err error) {
	if err := c.in.fill(8); err != nil {
		return nil, 0, err
	}
	n := binary.BigEndian.Uint32(c.in.rest())
	code = binary.BigEndian.Uint32(c.in.rest()[4:])
	c.speaks = c.speaks || code>>16 == 3
	switch {
	case n > maxStartup && c.speaks:
		return nil, 0, tooLarge("send fewer or shorter startup parameters", "a startup message of %d bytes is larger than the limit of %d", n, maxStartup)
	case n < 8 || n > maxStartup:
		return nil, 0, violation("this is not the PostgreSQL protocol")
	}
	if err := c.in.fill(int(n)); err != nil {
		return nil, 0, err
	}
	return c.in.take(int(n))[8:], code, nil
}

// refuseTLS answers a client that begins with TLS, in TLS.
func (c *Client) refuseTLS() error {
	c.told = true
	wrong := violation("the client began with TLS, which is not spoken here: what leaves this machine is encrypted by the tunnel (leave out sslnegotiation=direct)")
	_, err := c.conn.Write(noTLS)
	return errors.Join(wrong, err)
}

// refuseOld answers a client that speaks a protocol from before 2003, in which an
// error is its text and a zero byte. Newer ones understand that too.
func (c *Client) refuseOld(code uint32) error {
	c.told = true
	wrong := refuseLogin("0A000", newer, unsupported, code>>16, code&0xffff)
	_, err := fmt.Fprintf(c.conn, "EFATAL:  %s\n\x00", wrong)
	return errors.Join(wrong, err)
}

func cancelKey(b []byte) (Startup, error) {
	d := body{b: b}
	k := Key{PID: d.uint32(), Secret: d.uint32()}
	if !d.end() {
		return Startup{}, violation("malformed CancelRequest")
	}
	return Startup{Cancel: &k}, nil
}

func (c *Client) parameters(b []byte, minor uint32) (Startup, error) {
	d := body{b: b}
	st := Startup{Params: map[string]string{}}
	var unknown []string
	for {
		name := d.text()
		if name == "" {
			break
		}
		value := d.text()
		switch {
		case name == "user":
			st.User = value
		case name == "database":
			st.Database = value
		case strings.HasPrefix(name, "_pq_."):
			unknown = append(unknown, name)
		default:
			st.Params[lower(name)] = value
		}
	}
	if !d.end() {
		return st, violation("malformed startup message")
	}
	if minor > 0 || len(unknown) > 0 {
		if _, err := c.conn.Write(negotiate(unknown)); err != nil {
			return st, err
		}
	}
	return st, nil
}

// lower folds a parameter's name as the server does: ASCII letters only. Unicode's
// rules would make a known name of one that the server does not know.
func lower(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// negotiate encodes NegotiateProtocolVersion: we speak 3.0 and know no extension.
func negotiate(unknown []string) []byte {
	size := 4 + 4 + 4
	for _, name := range unknown {
		size += len(name) + 1
	}
	b := appendHead(nil, 'v', size)
	b = binary.BigEndian.AppendUint32(b, 3<<16)
	b = binary.BigEndian.AppendUint32(b, uint32(len(unknown)))
	for _, name := range unknown {
		b = append(append(b, name...), 0)
	}
	return b
}

// passedOn are the startup parameters that reach the database. The session acts
// under a name and path that Sluice must know, so those that change either, or how
// text is read, are refused.
var passedOn = []string{
	"application_name", "bytea_output", "client_encoding", "client_min_messages", "datestyle",
	"default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable",
	"extra_float_digits", "idle_in_transaction_session_timeout", "intervalstyle", "lc_messages", "lc_monetary", "lc_numeric", "lc_time",
	"lock_timeout", "statement_timeout", "timezone", "geqo", "jit", "options", "work_mem", "tcp_user_timeout", "search_path",
	"standard_conforming_strings", "replication",
}

// saidToUs are those that speak to Sluice, as SET does, and end with it.
var saidToUs = []string{"sluice.reason", "sluice.masks", "sluice.reads"}

// check refuses what a session may not begin with. It turns "options" into plain
// parameters.
func (st *Startup) check() error {
	if st.User == "" {
		return refuseLogin("28000", "give any user name, for example: psql -U me", "no PostgreSQL user name specified in startup packet")
	}
	if st.Database == "" {
		st.Database = st.User // as the server itself would
	}
	if err := st.splitOptions(); err != nil {
		return err
	}
	for name, value := range st.Params {
		if !slices.Contains(passedOn, name) && !slices.Contains(saidToUs, name) {
			return refuseLogin("42501", "connect without it", "startup parameter %q is not allowed through sluice", name)
		}
		if err := checkParam(name, value); err != nil {
			return err
		}
	}
	delete(st.Params, "replication")
	return nil
}

func checkParam(name, value string) error {
	switch name {
	case "replication":
		if v := strings.ToLower(value); v != "false" && v != "off" && v != "no" && v != "0" {
			return refuseLogin("0A000", "connect to the database directly, as a replication role",
				"replication connections are not served by sluice")
		}
	case "client_encoding":
		if v := strings.ToLower(strings.Trim(value, "'\" ")); v != "utf8" && v != "utf-8" && v != "unicode" && v != "auto" {
			return refuseLogin("22023", "set PGCLIENTENCODING=UTF8", "client_encoding %q is not supported through sluice: it must be UTF8", value)
		}
	case "standard_conforming_strings":
		if v := strings.ToLower(value); v != "on" && v != "true" && v != "1" && v != "yes" {
			return refuseLogin("22023", "leave standard_conforming_strings on", "standard_conforming_strings must stay on through sluice")
		}
	}
	return nil
}

// splitOptions reads "options" as the server does: -c name=value and --name=value,
// blanks separate, a backslash protects. What is also given by itself counts as given
// there.
func (st *Startup) splitOptions() error {
	text := st.Params["options"]
	delete(st.Params, "options")
	given := maps.Clone(st.Params)
	words := optionWords(text)
	for i := 0; i < len(words); i++ {
		w := words[i]
		var setting string
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			setting = words[i]
		case strings.HasPrefix(w, "-c"):
			setting = w[2:]
		case strings.HasPrefix(w, "--"):
			setting = w[2:]
		}
		name, value, ok := strings.Cut(setting, "=")
		name = lower(strings.ReplaceAll(strings.TrimSpace(name), "-", "_"))
		if !ok || name == "" || name == "options" {
			return refuseLogin("42601", "write options as -c name=value", "startup option %q is not understood", w)
		}
		if _, twice := given[name]; !twice {
			st.Params[name] = value // of two options the last counts
		}
	}
	return nil
}

func optionWords(text string) (words []string) {
	var word strings.Builder
	inside, protected := false, false
	for _, r := range text {
		switch {
		case protected:
			word.WriteRune(r)
			protected, inside = false, true
		case r == '\\':
			protected = true
		case r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' || r == '\v':
			if inside {
				words = append(words, word.String())
				word.Reset()
			}
			inside = false
		default:
			word.WriteRune(r)
			inside = true
		}
	}
	if inside {
		words = append(words, word.String())
	}
	return words
}

// authenticate asks for SCRAM-SHA-256 and checks the answer.
func (c *Client) authenticate(verifier string) error {
	talk, err := conversation(verifier)
	if err != nil {
		return err
	}
	wrong := refuseLogin("28P01", "use the password that sluice connect printed, or let it run the program: sluice connect NAME -- psql",
		"password authentication failed")
	offer, err := (&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}).Encode(nil)
	if err != nil {
		return err
	}
	first, err := c.exchange(offer)
	if err != nil {
		return err
	}
	d := body{b: first}
	mechanism, initial := d.text(), d.value()
	if !d.end() || mechanism != "SCRAM-SHA-256" {
		return wrong
	}
	challenge, err := talk.Step(string(initial))
	if err != nil {
		return wrong
	}
	next, err := (&pgproto3.AuthenticationSASLContinue{Data: []byte(challenge)}).Encode(nil)
	if err != nil {
		return err
	}
	proof, err := c.exchange(next)
	if err != nil {
		return err
	}
	final, err := talk.Step(string(proof))
	if err != nil || !talk.Valid() {
		return wrong
	}
	last, err := (&pgproto3.AuthenticationSASLFinal{Data: []byte(final)}).Encode(nil)
	if err != nil {
		return err
	}
	_, err = c.conn.Write(last)
	return err
}

// exchange sends one authentication message and reads the client's answer. Any
// other message at this point ends the connection.
func (c *Client) exchange(b []byte) ([]byte, error) {
	if _, err := c.conn.Write(b); err != nil {
		return nil, err
	}
	kind, total, err := c.in.peek()
	if err != nil {
		return nil, err
	}
	if kind != 'p' || total > maxAuth {
		return nil, violation("expected a password message")
	}
	if err := c.in.fill(total); err != nil {
		return nil, err
	}
	return c.in.take(total)[header:], nil
}

// Ready tells the client that it is in: settings as the database reported them, the
// cancel key, and that the first statement may come.
func (c *Client) Ready(settings map[string]string, k Key) error {
	b, err := (&pgproto3.AuthenticationOk{}).Encode(nil)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	for _, name := range names {
		if b, err = (&pgproto3.ParameterStatus{Name: name, Value: settings[name]}).Encode(b); err != nil {
			return err
		}
	}
	if b, err = (&pgproto3.BackendKeyData{ProcessID: k.PID, SecretKey: k.Secret}).Encode(b); err != nil {
		return err
	}
	if b, err = (&pgproto3.ReadyForQuery{TxStatus: 'I'}).Encode(b); err != nil {
		return err
	}
	_, err = c.conn.Write(b)
	return err
}
