package postgres

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgproto3/v2"
)

// Say is a message from Sluice itself to the client.
type Say struct {
	Severity string // "NOTICE", "WARNING", "ERROR", "FATAL"
	Code     string // SQLSTATE
	Message  string
	Detail   string
	Hint     string
	Position string // in the text of the statement, counted from 1; "" if it is of none
	Theirs   bool   // the words are the database's
}

// Mark is the routine that Sluice's own errors and notices name, so that a program can
// tell them from what code in the database raises, which may say the same: RAISE cannot
// choose the routine. The words of the database never come with it.
const Mark = "sluice"

// Notice sends a message that belongs to no request, at once or as soon as the
// message now on its way has ended.
func (c *Client) Notice(s Say) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parted {
		return c.last
	}
	c.notices = s.encode(c.notices, true)
	if !c.open {
		c.send()
	}
	return c.last
}

// Fatal sends an error that ends the session, as a last word: what the database
// still answers is dropped. A client that does not read cannot delay the end: a write
// under way gets a second more.
func (c *Client) Fatal(s Say) {
	_ = c.conn.SetWriteDeadline(time.Now().Add(goodbyeTime)) // an error means that it is closed already
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open || c.parted {
		return // in the middle of a message nothing readable can be said
	}
	s.Severity = "FATAL"
	c.out = s.encode(c.out, false)
	c.send()
	c.parted = true
}

// lingerTime bounds how long a last word may take to be read, and maxLinger what is
// read of the client meanwhile: whoever sends more than that reads nothing.
const (
	lingerTime = time.Second
	maxLinger  = 64 << 20
)

// Part sends an error that ends the session and waits until the client has closed
// its end: closing a connection on which bytes wait to be read resets it, and the
// reset may overtake the error. The goroutine of Read calls it.
func (c *Client) Part(s Say) {
	c.Fatal(s)
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	late := time.AfterFunc(lingerTime, func() { interrupt(c.conn) })
	defer late.Stop()
	// Whatever ends it, the connection is closed next.
	_, _ = io.CopyN(io.Discard, c.conn, maxLinger)
}

// encode appends s as a NoticeResponse or an ErrorResponse.
func (s Say) encode(dst []byte, notice bool) []byte {
	e := pgproto3.ErrorResponse{
		Severity: s.Severity, SeverityUnlocalized: s.Severity, Code: s.Code,
		Message: shown(s.Message), Detail: shown(s.Detail), Hint: shown(s.Hint),
	}
	if !s.Theirs {
		e.Routine = Mark
	}
	if at, err := strconv.ParseInt(s.Position, 10, 32); err == nil {
		e.Position = int32(at)
	}
	var out []byte
	var err error
	if notice {
		out, err = (*pgproto3.NoticeResponse)(&e).Encode(dst)
	} else {
		out, err = e.Encode(dst)
	}
	if err != nil { // only a message over 1 GiB cannot be encoded, and ours are sentences
		return dst
	}
	return out
}

// shown is text that may quote what a client sent before its encoding was checked.
func shown(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD") // NUL would end the field
}
