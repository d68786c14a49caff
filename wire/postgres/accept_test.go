package postgres

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unitPacket is a message without a type byte, as a connection begins with.
func unitPacket(code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

// unitStartup is a startup message of version 3.minor.
func unitStartup(minor uint32, pairs ...string) []byte {
	var body strings.Builder
	for _, s := range pairs {
		body.WriteString(s + "\x00")
	}
	return unitPacket(3<<16|minor, body.String()+"\x00")
}

// unitAccept lets Accept talk with a client that only sends, and returns what the
// client was told.
func unitAccept(t *testing.T, verifier string, sent []byte) (answer []byte, st Startup, err error) {
	t.Helper()
	near, far := net.Pipe()
	told := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(far) // ends when near is closed
		told <- b
	}()
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = far.Write(sent) // fails when near is closed before all was read
	}()
	_, st, err = Accept(t.Context(), near, verifier)
	near.Close()
	answer = <-told
	<-wrote
	far.Close()
	return answer, st, err
}

// unitRefused fails the test unless the login was refused with code and the client
// was told so, and of nothing else.
func unitRefused(t *testing.T, answer []byte, err error, code string) {
	t.Helper()
	var login *Login
	if !errors.As(err, &login) {
		t.Fatalf("got error %v, want a refused login", err)
	}
	if login.Say.Code != code || login.Say.Hint == "" || login.Say.Message == "" {
		t.Errorf("got %+v, want code %s and a hint", login.Say, code)
	}
	kind, total, err := head(answer)
	if err != nil || kind != 'E' || total != len(answer) {
		t.Fatalf("the client was told %q", answer)
	}
	fields, err := decodeFields(answer[header:])
	if err != nil || fields['C'] != code || fields['S'] != "FATAL" || fields['M'] != login.Say.Message {
		t.Errorf("the client was told %v, %v", fields, err)
	}
}

// unitFatal fails the test unless answer is one fatal error with code and a hint.
func unitFatal(t *testing.T, answer []byte, code string) {
	t.Helper()
	if len(answer) < header || answer[0] != 'E' {
		t.Fatalf("the client was told %q", answer)
	}
	_, total, err := head(answer)
	if err != nil || total != len(answer) {
		t.Fatalf("the client was told %q, %v", answer, err)
	}
	fields, err := decodeFields(answer[header:])
	if err != nil || fields['S'] != "FATAL" || fields['C'] != code || fields['H'] == "" {
		t.Errorf("the client was told %v, %v", fields, err)
	}
}

func TestAcceptStartup(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sent   []byte
		answer string
		want   Startup
	}{
		{"plain", unitStartup(0, "user", "ada", "database", "orders", "application_name", "psql"), "",
			Startup{User: "ada", Database: "orders", Params: map[string]string{"application_name": "psql"}}},
		{"database is the user by default", unitStartup(0, "user", "ada"), "",
			Startup{User: "ada", Database: "ada", Params: map[string]string{}}},
		{"names in capitals", unitStartup(0, "user", "ada", "DateStyle", "ISO", "TimeZone", "UTC"), "",
			Startup{User: "ada", Database: "ada", Params: map[string]string{"datestyle": "ISO", "timezone": "UTC"}}},
		{"no replication", unitStartup(0, "user", "ada", "replication", "false"), "",
			Startup{User: "ada", Database: "ada", Params: map[string]string{}}},
		{"options", unitStartup(0, "user", "ada", "options", `-c geqo=off --work-mem=4MB -cLOCK_TIMEOUT=1s -c application_name=a\ b\\`), "",
			Startup{User: "ada", Database: "ada", Params: map[string]string{
				"geqo": "off", "work_mem": "4MB", "lock_timeout": "1s", "application_name": `a b\`}}},
		{"given by itself and in options", unitStartup(0, "options", "-c client_encoding=SQL_ASCII -c geqo=off -c geqo=on", "user", "ada", "client_encoding", "UTF8"), "",
			Startup{User: "ada", Database: "ada", Params: map[string]string{"client_encoding": "UTF8", "geqo": "on"}}},
		{"encryption asked for", slices.Concat(unitPacket(codeSSL, ""), unitPacket(codeGSS, ""), unitStartup(0, "user", "ada")), "NN",
			Startup{User: "ada", Database: "ada", Params: map[string]string{}}},
		{"encryption asked for, the other first", slices.Concat(unitPacket(codeGSS, ""), unitPacket(codeSSL, ""), unitStartup(0, "user", "ada")), "NN",
			Startup{User: "ada", Database: "ada", Params: map[string]string{}}},
		{"version 3.2", unitStartup(2, "user", "ada"), "v\x00\x00\x00\x0c\x00\x03\x00\x00\x00\x00\x00\x00",
			Startup{User: "ada", Database: "ada", Params: map[string]string{}}},
		{"version of the far future", unitStartup(9999, "user", "ada"), "v\x00\x00\x00\x0c\x00\x03\x00\x00\x00\x00\x00\x00",
			Startup{User: "ada", Database: "ada", Params: map[string]string{}}},
		{"version 3.2 with extensions", unitStartup(2, "user", "ada", "_pq_.a", "1", "geqo", "on", "_pq_.b", ""), "v\x00\x00\x00\x1a\x00\x03\x00\x00\x00\x00\x00\x02_pq_.a\x00_pq_.b\x00",
			Startup{User: "ada", Database: "ada", Params: map[string]string{"geqo": "on"}}},
		{"protocol extension", unitStartup(0, "user", "ada", "_pq_.x", "1"), "v\x00\x00\x00\x13\x00\x03\x00\x00\x00\x00\x00\x01_pq_.x\x00",
			Startup{User: "ada", Database: "ada", Params: map[string]string{}}},
		{"cancel", unitPacket(codeCancel, "\x00\x00\x00\x07\xff\xff\xff\xfe"), "", Startup{Cancel: &Key{7, 0xfffffffe}}},
		{"cancel after asking for encryption", slices.Concat(unitPacket(codeSSL, ""), unitPacket(codeCancel, "\x00\x00\x00\x07\x00\x00\x00\x01")), "N",
			Startup{Cancel: &Key{7, 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, st, err := unitAccept(t, "", tt.sent)
			if err != nil {
				t.Fatal(err)
			}
			if string(answer) != tt.answer {
				t.Errorf("the client was told %q, want %q", answer, tt.answer)
			}
			if diff := cmp.Diff(tt.want, st); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAcceptRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		code string
		sent []byte
	}{
		{"no user", "28000", unitStartup(0, "database", "orders")},
		{"empty user", "28000", unitStartup(0, "user", "")},
		{"replication", "0A000", unitStartup(0, "user", "ada", "replication", "true")},
		{"logical replication", "0A000", unitStartup(0, "user", "ada", "replication", "database")},
		{"replication in capitals", "0A000", unitStartup(0, "user", "ada", "REPLICATION", "on")},
		{"replication with an empty value", "0A000", unitStartup(0, "user", "ada", "replication", "")},
		{"another encoding by options", "22023", unitStartup(0, "user", "ada", "options", "-c client_encoding=SQL_ASCII")},
		{"replication by options", "0A000", unitStartup(0, "user", "ada", "options", "-c replication=on")},
		{"another role", "42501", unitStartup(0, "user", "ada", "role", "postgres")},
		{"another role by options", "42501", unitStartup(0, "user", "ada", "options", "-c role=postgres")},
		{"another role behind a backslash", "42501", unitStartup(0, "user", "ada", "options", `-c r\ole=postgres`)},
		{"another role behind an allowed option", "42501", unitStartup(0, "user", "ada", "options", "-c geqo=on\v--ROLE=postgres")},
		{"session authorization", "42501", unitStartup(0, "user", "ada", "session_authorization", "postgres")},
		{"row security off", "42501", unitStartup(0, "user", "ada", "row_security", "off")},
		{"preloaded library", "42501", unitStartup(0, "user", "ada", "options", "-c local_preload_libraries=x")},
		{"user in capitals", "42501", unitStartup(0, "user", "ada", "USER", "postgres")},
		{"name that Unicode folds to a known one", "42501", unitStartup(0, "user", "ada", "wor\u212a_mem", "1GB")},
		{"the same by options", "42501", unitStartup(0, "user", "ada", "options", "-c wor\u212a_mem=1GB")},
		{"options within options", "42601", unitStartup(0, "user", "ada", "options", "-c options=-crole=postgres")},
		{"another switch in options", "42601", unitStartup(0, "user", "ada", "options", "-B 100")},
		{"switches glued together", "42601", unitStartup(0, "user", "ada", "options", "-fs")},
		{"option without a value", "42601", unitStartup(0, "user", "ada", "options", "-c role")},
		{"option without anything", "42601", unitStartup(0, "user", "ada", "options", "-c")},
		{"option without a name", "42601", unitStartup(0, "user", "ada", "options", "-c =x")},
		{"encoding in which a quote hides", "22023", unitStartup(0, "user", "ada", "client_encoding", "SJIS")},
		{"encoding by options", "22023", unitStartup(0, "user", "ada", "options", "-c client-encoding=GBK")},
		{"strings read otherwise", "22023", unitStartup(0, "user", "ada", "standard_conforming_strings", "off")},
		{"protocol that is no PostgreSQL's", "0A000", unitPacket(1234<<16|5681, "")},
		{"protocol 4", "0A000", unitPacket(4<<16, "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, _, err := unitAccept(t, "", tt.sent)
			unitRefused(t, answer, err, tt.code)
		})
	}
}

// What speaks another protocol gets no answer that could be taken for one of it.
func TestAcceptEndsOtherProtocols(t *testing.T) {
	for name, sent := range map[string]string{
		"HTTP":                    "GET / HTTP/1.1\r\nHost: db\r\n\r\n",
		"SSH":                     "SSH-2.0-OpenSSH_9.6\r\n",
		"length of nothing":       "\x00\x00\x00\x00\x00\x04\x00\x00",
		"length without the code": "\x00\x00\x00\x07\x00\x05\x00\x00",
		"negative length":         "\xff\xff\xff\xff\x00\x09\x00\x00",
		"cancel without a secret": string(unitPacket(codeCancel, "\x00\x00\x00\x07")),
		"cancel with more":        string(unitPacket(codeCancel, "\x00\x00\x00\x07\x00\x00\x00\x01\x00")),
	} {
		t.Run(name, func(t *testing.T) {
			answer, st, err := unitAccept(t, "", []byte(sent))
			unitViolation(t, err)
			if len(answer) > 0 {
				t.Errorf("the client was told %q", answer)
			}
			if st.Cancel != nil {
				t.Errorf("a cancel request came of it: %+v", st.Cancel)
			}
		})
	}
}

// A client that speaks the protocol, badly, is told so in it.
func TestAcceptTellsWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sent   []byte
		before string // the answer before the error
		code   string
	}{
		{"oversized startup", unitStartup(0, "user", "ada", "application_name", strings.Repeat("x", maxStartup)), "", "54000"},
		{"oversized startup after no", append(unitPacket(codeSSL, ""), 0, 1, 0, 0, 0, 3, 0, 0), "N", "54000"},
		{"negative length", []byte{0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0}, "", "54000"},
		{"length of nothing", []byte{0, 0, 0, 0, 0, 3, 0, 0}, "", "08P01"},
		{"length without the code", []byte{0, 0, 0, 7, 0, 3, 0, 0}, "", "08P01"},
		{"encryption asked for twice", bytes.Repeat(unitPacket(codeSSL, ""), 2), "N", "08P01"},
		{"GSS encryption asked for twice", bytes.Repeat(unitPacket(codeGSS, ""), 2), "N", "08P01"},
		{"encryption asked for in turns", slices.Concat(unitPacket(codeSSL, ""), unitPacket(codeGSS, ""), unitPacket(codeSSL, "")), "NN", "08P01"},
		{"encryption asked for with a body", unitPacket(codeSSL, "x"), "", "08P01"},
		{"GSS encryption asked for with a body", unitPacket(codeGSS, "x"), "", "08P01"},
		{"parameters without an end", unitPacket(3<<16, "user\x00ada\x00"), "", "08P01"},
		{"parameter without a value", unitPacket(3<<16, "user\x00\x00"), "", "08P01"},
		{"nothing but a version", unitPacket(3<<16, ""), "", "08P01"},
		{"second startup behind the first one's end", unitPacket(3<<16, "user\x00ada\x00\x00user\x00postgres\x00\x00"), "", "08P01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, _, err := unitAccept(t, "", tt.sent)
			var v *Violation
			if !errors.As(err, &v) || v.Code != tt.code {
				t.Fatalf("got %v, want a violation with code %s", err, tt.code)
			}
			rest, ok := strings.CutPrefix(string(answer), tt.before)
			if !ok {
				t.Fatalf("the client was told %q", answer)
			}
			unitFatal(t, []byte(rest), tt.code)
		})
	}
}

// Who begins with TLS hears an alert of it, also after it was told that there is none.
func TestAcceptAnswersTLSInTLS(t *testing.T) {
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	for before, sent := range map[string]string{"": hello, "N": string(unitPacket(codeSSL, "")) + hello} {
		answer, _, err := unitAccept(t, "", []byte(sent))
		unitViolation(t, err)
		if string(answer) != before+string(noTLS) {
			t.Errorf("after %q: the client was told %q", before, answer)
		}
	}
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		_, _, _ = Accept(context.Background(), far, "") // what the client makes of it is what counts
	}()
	err := tls.Client(near, &tls.Config{ServerName: "db"}).Handshake()
	if err == nil || !strings.Contains(err.Error(), "handshake failure") {
		t.Errorf("a TLS client sees %v", err)
	}
}

// Clients from before version 3 read an error without a length.
func TestAcceptAnswersAnOldClientAsItReads(t *testing.T) {
	for _, code := range []uint32{0, 1 << 16, 2 << 16, 2<<16 | 9} {
		answer, _, err := unitAccept(t, "", unitPacket(code, "ada"))
		var login *Login
		if !errors.As(err, &login) || login.Say.Code != "0A000" {
			t.Fatalf("got %v", err)
		}
		if want := "EFATAL:  " + login.Say.Message + "\n\x00"; string(answer) != want {
			t.Errorf("protocol %d: told %q, want %q", code>>16, answer, want)
		}
	}
}

// The buffer of a session is no larger after a startup that promised much.
func TestAcceptOversizedStartupTakesNoMemory(t *testing.T) {
	c := newClient(nil, newReader(bytes.NewReader(unitPacket(3<<16, strings.Repeat("x", maxStartup)))))
	if _, err := c.startup(); err == nil || len(c.in.buf) > readBuffer {
		t.Errorf("got %v and a buffer of %d", err, len(c.in.buf))
	}
}

func TestAcceptClientLeaves(t *testing.T) {
	whole := unitStartup(0, "user", "ada")
	for n := range whole {
		c := newClient(nil, newReader(bytes.NewReader(whole[:n])))
		if _, err := c.startup(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: got %v", n, err)
		}
	}
}

func TestOptionWords(t *testing.T) {
	for in, want := range map[string][]string{
		"":                        nil,
		" \t\r\n\f\v":             nil,
		"-c a=b":                  {"-c", "a=b"},
		"  --a=b  --c=d  ":        {"--a=b", "--c=d"},
		`a\ b c\\ \d`:             {"a b", `c\`, "d"},
		`\ `:                      {" "},
		`a\`:                      {"a"},
		"-c\vrole=x\f-c\rgeqo=on": {"-c", "role=x", "-c", "geqo=on"},
		"'a b'":                   {"'a", "b'"}, // quotes mean nothing here
	} {
		if diff := cmp.Diff(want, optionWords(in)); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

// FuzzStartup checks that whatever is sent, no more than the list of parameters
// gets through, and always a user.
func FuzzStartup(f *testing.F) {
	f.Add(unitStartup(0, "user", "ada", "options", `-c geqo=on -c ro\le=x`))
	f.Add(unitStartup(2, "user", "ada", "ROLE", "x"))
	f.Add(unitPacket(codeCancel, "\x00\x00\x00\x07\x00\x00\x00\x01"))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		near, far := net.Pipe()
		defer near.Close()
		go func() { _, _ = io.Copy(io.Discard, far) }() // ends when near is closed
		c := newClient(near, newReader(bytes.NewReader(b)))
		st, err := c.startup()
		if err != nil || st.Cancel != nil || st.check() != nil {
			return
		}
		if st.User == "" || st.Database == "" {
			t.Errorf("accepted %+v", st)
		}
		for _, name := range slices.Collect(maps.Keys(st.Params)) {
			if !slices.Contains(passedOn, name) || name == "replication" || name == "options" {
				t.Errorf("%q got through", name)
			}
		}
	})
}
