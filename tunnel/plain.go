package tunnel

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
)

// What is said to those who came to the wrong door. It tells nothing that the
// certificate does not.
const (
	plainSentence = "this port is a Sluice gateway's, which is reached through the sluice program only"
	plainHint     = "use: sluice connect"
)

// plain answers, in its own words, a client whose first five bytes are no TLS: a
// browser or a database client that was pointed at the gateway's port. Whatever
// else comes is closed without a word. ctx bounds all of it.
func plain(ctx context.Context, raw net.Conn, first [5]byte) {
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	var answer []byte
	switch {
	case isHTTP(first):
		text := plainSentence + "\nhint: " + plainHint + "\n"
		answer = fmt.Appendf(nil, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	case isStartup(first):
		answer = postgresError()
	case isEncryption(first) && refuseEncryption(raw):
		answer = postgresError()
	default:
		return
	}
	if _, err := raw.Write(answer); err == nil {
		linger(ctx, raw)
	}
}

// isHTTP knows the methods of HTTP, and how HTTP/2 begins, by five letters.
func isHTTP(first [5]byte) bool {
	for _, m := range []string{"GET /", "HEAD ", "POST ", "PUT /", "DELET", "OPTIO", "PATCH", "TRACE", "CONNE", "PRI *"} {
		if string(first[:]) == m {
			return true
		}
	}
	return strings.HasPrefix(string(first[:]), "GET h") // as to a proxy
}

// A PostgreSQL client begins with the length of its message in four bytes, then
// the version: 3 in two bytes, or 1234 for a request that is no login yet.
const longestStartup = 10000 // as PostgreSQL's own

func isStartup(first [5]byte) bool {
	n := binary.BigEndian.Uint32(first[:4])
	return n > 8 && n <= longestStartup && first[4] == 0
}

// isEncryption knows SSLRequest and GSSENCRequest, which are eight bytes.
func isEncryption(first [5]byte) bool {
	return binary.BigEndian.Uint32(first[:4]) == 8 && first[4] == 1234>>8
}

// refuseEncryption says no to one request for encryption after the other, and
// whether the client then began to log in. The first request has been read.
func refuseEncryption(raw net.Conn) bool {
	for range 2 { // one for TLS and one for GSSAPI
		if _, err := raw.Write([]byte{'N'}); err != nil {
			return false
		}
		var next [8]byte
		if _, err := io.ReadFull(raw, next[:]); err != nil {
			return false
		}
		if first := [5]byte(next[:5]); !isEncryption(first) {
			return isStartup(first)
		}
	}
	return false
}

// postgresError is an ErrorResponse: protocol_violation, with a hint.
func postgresError() []byte {
	var fields []byte
	for _, f := range []string{"SFATAL", "VFATAL", "C08P01", "M" + plainSentence, "H" + plainHint} {
		fields = append(append(fields, f...), 0)
	}
	msg := binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(fields)+1))
	return append(append(msg, fields...), 0)
}
