package tunnel

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// maxHeader bounds the header frame: a name, a verifier and room to grow.
const maxHeader = 16 << 10

// The kinds of stream.
const (
	API      = "api"      // HTTP/1.1
	Postgres = "postgres" // the PostgreSQL protocol
)

// Header says what a stream is for. Unknown fields are ignored, so that a newer
// client can talk to an older gateway.
type Header struct {
	Version     int    `json:"v"`                     // set by Open
	Kind        string `json:"kind"`                  // API or Postgres
	Connection  string `json:"connection,omitempty"`  // Postgres: which one
	Verifier    string `json:"verifier,omitempty"`    // Postgres: SCRAM verifier of the local port's password; none if empty
	Application string `json:"application,omitempty"` // program that opened it, for the record
	Run         string `json:"run,omitempty"`         // Postgres: run of a job that the caller has begun, and that this is part of
}

// answer is the frame that the accepting side sends back.
type answer struct {
	OK    bool   `json:"ok,omitempty"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// specHint is for whoever writes a client: our own sends none of what it is said to.
const specHint = "this is a fault of the client; the protocol is in tunnel/spec.md"

// badHeader is a header that arrived whole and is wrong: its sender is told.
type badHeader struct{ sentence, hint string }

func (b *badHeader) Error() string { return b.sentence }

func readHeader(r io.Reader) (Header, error) {
	body, err := readFrame(r)
	if err != nil {
		return Header{}, err
	}
	var h Header
	if err := json.Unmarshal(body, &h); err != nil {
		return Header{}, &badHeader{"the stream's header is not the JSON it should be", specHint}
	}
	if h.Version != Version {
		return Header{}, &badHeader{
			sentence: fmt.Sprintf("the stream's header has version %d; this side speaks %d", h.Version, Version),
			hint:     "bring client and gateway to the same version",
		}
	}
	if h.Kind == "" {
		return Header{}, &badHeader{"the stream's header names no kind", specHint}
	}
	return h, nil
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, fmt.Errorf("read a frame's length: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > maxHeader {
		return nil, &badHeader{fmt.Sprintf("a frame of %d bytes: 1 to %d are allowed", n, maxHeader), specHint}
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read a frame: %w", err)
	}
	return body, nil
}

// writeFrame sends one frame in one write.
func writeFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	if len(body) > maxHeader {
		return fmt.Errorf("a frame of %d bytes: at most %d are allowed", len(body), maxHeader)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	if _, err := w.Write(append(frame, body...)); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return nil
}
