package export

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/durable"
)

// sink takes messages. send returns nil once they were taken.
type sink interface {
	send(ctx context.Context, list []message) error
	close()
}

// errTooLarge says that a batch would be taken if it were smaller.
var errTooLarge = errors.New("the message is too large for whoever takes it")

// Check says what is wrong with where to, and as what, entries are to be handed on: to is
// "stdout", "file:PATH", "https://…" (or http), "syslog+tls://HOST:PORT", "syslog+tcp://",
// "syslog+udp://" or "syslog+unix://PATH".
func Check(to, format string) error {
	if !slices.Contains(Formats, format) {
		return fmt.Errorf("format is %q, must be one of %s", format, strings.Join(Formats, ", "))
	}
	if to == "stdout" {
		return noOTLP(format, to)
	}
	if path, ok := strings.CutPrefix(to, "file:"); ok {
		if path == "" {
			return errors.New("file: has no path")
		}
		return noOTLP(format, "a file")
	}
	u, err := url.Parse(to)
	if err != nil {
		return fmt.Errorf("%q is no address such as https://logs.example.com/in or syslog+tls://logs.example.com:6514", to)
	}
	switch u.Scheme {
	case "https", "http":
		if u.Host == "" {
			return fmt.Errorf("%q names no host", to)
		}
		return nil
	case "syslog+tls", "syslog+tcp", "syslog+udp":
		if u.Hostname() == "" {
			return fmt.Errorf("%q names no host", to)
		}
		return noOTLP(format, "syslog")
	case "syslog+unix":
		if u.Path == "" {
			return fmt.Errorf("%q has no path: syslog+unix:///dev/log", to)
		}
		return noOTLP(format, "syslog")
	}
	return fmt.Errorf("%q is neither stdout nor begins with file:, https://, syslog+tls://, syslog+tcp://, syslog+udp:// or syslog+unix://", to)
}

func noOTLP(format, to string) error {
	if format == "otlp" {
		return fmt.Errorf("otlp goes to an https address, not to %s", to)
	}
	return nil
}

func newSink(cfg Config, f form) (sink, error) {
	if cfg.To == "stdout" {
		return &writer{out: cfg.Out}, nil
	}
	if path, ok := strings.CutPrefix(cfg.To, "file:"); ok {
		return &file{path: path}, nil
	}
	u, err := url.Parse(cfg.To)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(u.Scheme, "syslog+") {
		return newSyslog(u, f, cfg.Roots), nil
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if cfg.Roots != nil {
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12}, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	}
	return &web{cfg: cfg, form: f, client: client}, nil
}

// writer writes lines.
type writer struct{ out io.Writer }

func (w *writer) send(_ context.Context, list []message) error {
	_, err := w.out.Write(lines(list))
	return err
}

func (*writer) close() {}

// file appends lines to a file, and has them on disk. It is opened each time, so that it
// may be moved away by whoever rotates it.
type file struct{ path string }

func (f *file) send(_ context.Context, list []message) error {
	out, err := durable.OpenAppend(f.path, 0o600) // it has statements in it
	if err != nil {
		return err
	}
	at, err := out.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = out.Write(lines(list))
	}
	if err == nil {
		err = out.Sync()
	} else {
		_ = out.Truncate(at) // half of it would not be lines
	}
	return errors.Join(err, out.Close())
}

func (*file) close() {}

// web posts messages. With a secret the header Sluice-Signature is "t=<unix time>,v1=<hex>",
// the HMAC-SHA-256 of "<unix time>.<body>".
type web struct {
	cfg    Config
	form   form
	client *http.Client
}

func (w *web) send(ctx context.Context, list []message) error {
	body, kind := w.form.join(list)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.To, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("User-Agent", "sluice/"+w.cfg.Version)
	if w.cfg.Authorization != "" {
		req.Header.Set("Authorization", w.cfg.Authorization)
	}
	req.Header.Set("Sluice-Delivery", list[0].ev.ID+" "+strconv.Itoa(len(list)))
	if len(w.cfg.Secret) > 0 {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, w.cfg.Secret)
		mac.Write([]byte(at + "."))
		mac.Write(body)
		req.Header.Set("Sluice-Signature", "t="+at+",v1="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the address, which may hold a token
		}
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	err = errors.Join(err, resp.Body.Close())
	switch {
	case resp.StatusCode/100 == 2:
		return err
	case resp.StatusCode == http.StatusRequestEntityTooLarge:
		return errTooLarge
	}
	return fmt.Errorf("it answered %s", resp.Status)
}

func (w *web) close() { w.client.CloseIdleConnections() }
