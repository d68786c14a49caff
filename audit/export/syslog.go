package export

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluicehq/sluice/audit"
)

// syslog sends messages in the form of RFC 5424: over TLS (RFC 5425) and TCP (RFC 6587)
// each behind its length, over UDP (RFC 5426) and to a local socket each in a datagram.
// Nobody confirms a message of syslog. Over TCP and TLS it counts as taken when it was
// written and the other side has not closed the connection by then.
type syslog struct {
	network, addr string
	tls           *tls.Config
	form          form
	host          string
	conn          net.Conn
	closed        time.Duration // how long a look for the other side's end of a connection takes; longer in tests
}

const (
	// facility 13 is "log audit".
	facility = 13
	// maxDatagram is what common receivers take; RFC 5426 asks for 2,048 bytes only. What
	// is longer is sent without its long texts.
	maxDatagram = 8 << 10
	// closedTime is long enough for the end of a connection to arrive from next door.
	closedTime = 20 * time.Millisecond
)

func newSyslog(u *url.URL, f form, roots *x509.CertPool) *syslog {
	s := &syslog{form: f, host: "-", closed: closedTime}
	if name, err := os.Hostname(); err == nil && name != "" {
		s.host = printable(name, 255)
	}
	port := u.Port()
	switch u.Scheme {
	case "syslog+unix":
		s.network, s.addr = "unixgram", u.Path
		return s
	case "syslog+udp":
		s.network, port = "udp", cmpOr(port, "514")
	case "syslog+tcp":
		s.network, port = "tcp", cmpOr(port, "514")
	default:
		s.network, port = "tcp", cmpOr(port, "6514")
		s.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	s.addr = net.JoinHostPort(u.Hostname(), port)
	return s
}

func (s *syslog) close() {
	if s.conn != nil {
		_ = s.conn.Close() // what was written is written
		s.conn = nil
	}
}

func (s *syslog) send(ctx context.Context, list []message) error {
	if err := s.dial(ctx); err != nil {
		return err
	}
	err := s.write(ctx, list)
	if err != nil {
		s.close()
	}
	return err
}

func (s *syslog) dial(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	d := &net.Dialer{}
	conn, err := d.DialContext(ctx, s.network, s.addr)
	if err != nil && s.network == "unixgram" {
		conn, err = d.DialContext(ctx, "unix", s.addr) // some take a stream there
	}
	if err != nil {
		return err
	}
	if s.tls != nil {
		secure := tls.Client(conn, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return errors.Join(err, conn.Close())
		}
		conn = secure
	}
	s.conn = conn
	return nil
}

func (s *syslog) write(ctx context.Context, list []message) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := s.conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if s.conn.LocalAddr().Network() == "tcp" {
		room := 0
		for i := range list {
			room += len(list[i].body) + 160 // which is more than a header, if the host has no long name
		}
		all, line := make([]byte, 0, room), []byte(nil)
		for i := range list {
			line = s.line(line[:0], &list[i])
			all = append(append(strconv.AppendInt(all, int64(len(line)), 10), ' '), line...)
		}
		if _, err := s.conn.Write(all); err != nil {
			return err
		}
		return s.open()
	}
	var line []byte
	for i := range list {
		line = s.line(line[:0], &list[i])
		if len(line) > maxDatagram {
			short, err := s.shortened(&list[i])
			if err != nil {
				return err
			}
			line = s.line(line[:0], &short)
		}
		if _, err := s.conn.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// open says whether the other side has closed the connection.
func (s *syslog) open() error {
	if err := s.conn.SetReadDeadline(time.Now().Add(s.closed)); err != nil {
		return err
	}
	var late net.Error
	_, err := s.conn.Read(make([]byte, 1))
	if err == nil || errors.As(err, &late) && late.Timeout() {
		return nil
	}
	return fmt.Errorf("the connection was closed: %w", err)
}

// line appends one message: priority, version, time, host, program, process, kind,
// structured data, text.
func (s *syslog) line(b []byte, m *message) []byte {
	severity := [...]int64{6, 5, 4, 3}[grave(&m.ev)] // informational, notice, warning, error
	b = strconv.AppendInt(append(b, '<'), facility*8+severity, 10)
	b = m.ev.Time.UTC().AppendFormat(append(b, ">1 "...), "2006-01-02T15:04:05.000000Z")
	b = append(append(append(b, ' '), s.host...), " sluice "...)
	b = append(strconv.AppendInt(b, int64(os.Getpid()), 10), ' ')
	b = append(append(b, printable(string(m.ev.Kind), 32)...), ` [meta sequenceId="`...)
	b = strconv.AppendUint(b, m.ev.Seq%(1<<31-1)+1, 10)
	return append(append(b, "\"] \ufeff"...), m.body...)
}

// printable makes a text what a header of RFC 5424 may hold.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return -1
		}
		return r
	}, s)
	if s = s[:min(len(s), most)]; s == "" {
		return "-"
	}
	return s
}

// shortened is a message without its long texts, which the record has.
func (s *syslog) shortened(m *message) (message, error) {
	ev := m.ev
	cut := func(text string) string {
		const most = 1 << 10
		if len(text) <= most {
			return text
		}
		n := most
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		return text[:n]
	}
	ev.SQL, ev.Error, ev.Reason, ev.Detail = cut(ev.SQL), cut(ev.Error), cut(ev.Reason), cut(ev.Detail)
	ev.Params, ev.Reads, ev.Writes, ev.Personal, ev.Claims, ev.Groups, ev.MaskedCols = nil, nil, nil, nil, nil, nil, nil
	ev.Cut = append(append([]string{}, ev.Cut...), "sql", "params", "reads", "writes", "personal", "claims", "groups", "masked_cols")
	line, err := audit.Encode(ev)
	if err != nil {
		return message{}, err
	}
	return message{ev: ev, body: s.form.message(nil, &ev, line)}, nil
}
