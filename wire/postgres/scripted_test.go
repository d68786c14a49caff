package postgres

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func scriptedMessage(kind byte, body string) string {
	return string(append(appendHead(nil, kind, 4+len(body)), body...))
}

// scriptedRun has a client send a Query to a server that answers with a script, then
// closes; it returns what the client was given and why the answers ended.
func scriptedRun(t *testing.T, r *relay, script string, piece int) (given string, err error) {
	t.Helper()
	r.t = t
	r.changed = make(chan struct{})
	person, clientSide := net.Pipe()
	serverSide, database := net.Pipe()
	client := newClient(clientSide, newReader(clientSide))
	server := newServer(serverSide, nil, canceller{}, client)
	deadline := time.Now().Add(relayTime)
	for _, c := range []net.Conn{person, database} {
		if err := c.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	query := scriptedMessage('Q', "select 1\x00")
	go io.WriteString(person, query)
	go func() {
		if _, err := io.ReadFull(database, make([]byte, len(query))); err != nil {
			return
		}
		go io.Copy(io.Discard, database) // the goodbye
		for b := []byte(script); len(b) > 0; {
			n := min(piece, len(b))
			if _, err := database.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
		database.Close()
	}()
	result := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(person) // what came before the end is what counts
		result <- b
	}()
	req, err := client.Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.carry(server, req); err != nil {
		t.Fatal(err)
	}
	if err := server.Flush(); err != nil {
		t.Fatal(err)
	}
	relayWithin(t, "the answer", func() { err = r.down(client, server) })
	server.Close()
	client.Close()
	return string(<-result), err
}

var (
	scriptedColumns = scriptedMessage('T', "\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x19\xff\xff\xff\xff\xff\xff\x00\x00")
	scriptedRow     = scriptedMessage('D', "\x00\x01\x00\x00\x00\x01x")
	scriptedEnd     = scriptedMessage('C', "SELECT 1\x00")
	scriptedReady   = scriptedMessage('Z', "I")
	scriptedAside   = scriptedMessage('S', "TimeZone\x00UTC\x00") + scriptedMessage('N', "SNOTICE\x00C00000\x00Mhello\x00\x00") + scriptedMessage('A', "\x00\x00\x00\x07chan\x00text\x00")
	scriptedFatal   = scriptedMessage('E', "SFATAL\x00VFATAL\x00C57P01\x00Mbye\x00\x00")
)

// Settings, notices and notifications may come anywhere, and frames in any pieces.
func TestScriptedAsidesPassInEveryPosition(t *testing.T) {
	messages := []string{scriptedColumns, scriptedRow, scriptedEnd, scriptedReady}
	for at := range len(messages) + 1 {
		var script string
		for i, m := range messages {
			if i == at {
				script += scriptedAside
			}
			script += m
		}
		if at == len(messages) {
			script += scriptedAside
		}
		for _, look := range []bool{false, true} {
			for _, piece := range []int{1, 7, len(script)} {
				given, err := scriptedRun(t, &relay{look: look, gate: look}, script, piece)
				if !errors.Is(err, io.EOF) || given != script {
					t.Errorf("asides at %d, look %v, pieces of %d: given %q, %v", at, look, piece, given, err)
				}
			}
		}
	}
}

func TestScriptedFatalInTheMiddlePasses(t *testing.T) {
	for _, before := range []string{"", scriptedColumns, scriptedColumns + scriptedRow, scriptedColumns + scriptedRow + scriptedEnd + scriptedReady} {
		given, err := scriptedRun(t, &relay{}, before+scriptedFatal, 3)
		if !errors.Is(err, io.EOF) || given != before+scriptedFatal {
			t.Errorf("given %q, %v", given, err)
		}
	}
}

func TestScriptedViolationsEndTheSession(t *testing.T) {
	for name, bad := range map[string]string{
		"row before its columns":    scriptedRow,
		"row after the answer":      scriptedColumns + scriptedEnd + scriptedReady + scriptedRow,
		"ready twice":               scriptedReady + scriptedReady,
		"COPY data without COPY":    scriptedMessage('d', "secret"),
		"COPY end without COPY":     scriptedMessage('c', ""),
		"COPY in of no COPY":        scriptedMessage('G', "\x00\x00\x00"),
		"authentication":            scriptedMessage('R', "\x00\x00\x00\x00"),
		"answer to no Parse":        scriptedMessage('1', ""),
		"unknown message":           scriptedMessage('?', ""),
		"length below four":         "C\x00\x00\x00\x03",
		"length above all limits":   "D\xff\xff\xff\xff",
		"error larger than allowed": "E\x01\x10\x00\x00",
		"ready without status":      scriptedMessage('Z', ""),
	} {
		for _, look := range []bool{false, true} {
			for _, piece := range []int{1, 1 << 20} {
				given, err := scriptedRun(t, &relay{look: look}, bad, piece)
				var v *Violation
				if !errors.As(err, &v) {
					t.Errorf("%s, look %v: %v, want a violation", name, look, err)
				}
				if bytes.Contains([]byte(given), []byte("secret")) {
					t.Errorf("%s: given %q", name, given)
				}
			}
		}
	}
	for name, bad := range map[string]string{
		"columns cut short": scriptedMessage('T', "\x00\x02a\x00"),
		"row cut short":     scriptedColumns + scriptedMessage('D', "\x00\x01\x00\x00\x00\x09x"),
	} {
		var v *Violation
		if _, err := scriptedRun(t, &relay{look: true}, bad, 1); !errors.As(err, &v) {
			t.Errorf("%s: %v, want a violation", name, err)
		}
	}
}
