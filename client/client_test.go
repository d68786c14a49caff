package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/identity"
)

func wantError(t *testing.T, err error, code int, sentence, hint string) {
	t.Helper()
	e, ok := api.AsError(err)
	if !ok {
		t.Fatalf("got %v, which is not meant for people", err)
	}
	if e.Code != code || !strings.Contains(e.Sentence, sentence) || !strings.Contains(e.Hint, hint) {
		t.Errorf("got %+v, want code %d, sentence …%s…, hint …%s…", *e, code, sentence, hint)
	}
}

// The whole laptop side against a gateway: log in, call, forward.
func TestLoginCallForward(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	g, err := Open(t.Context(), s, "")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var who api.WhoAmI
	if err := g.Call(t.Context(), http.MethodGet, api.WhoAmIPath, nil, &who); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(api.WhoAmI{Subject: "u1", Email: "ada@example.com", Kind: "person"}, who); d != "" {
		t.Error(d)
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, verifier := NewPassword()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Forward(ctx, ln, func(ctx context.Context) (net.Conn, error) { return g.Stream(ctx, "orders", verifier) }, nil)
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil || line != "hello ada@example.com\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if h := <-gw.streams; h.Verifier != verifier || h.Connection != "orders" {
		t.Errorf("header %+v", h)
	}
	io.WriteString(c, "ping\n")
	if line, err := r.ReadString('\n'); err != nil || line != "ping\n" {
		t.Fatalf("%q, %v", line, err)
	}
	c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("after half-close: %q, %v", rest, err)
	}
	open, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	bufio.NewReader(open).ReadString('\n')
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(open); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("an open connection after the end: %v", err)
	}
}

func TestWatchGivesLines(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	g, err := Open(t.Context(), s, gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var n int
	if err := g.Watch(t.Context(), api.AsksWatchPath, func([]byte) error { n++; return nil }); err != nil || n != 3 {
		t.Errorf("%d lines, %v", n, err)
	}
	enough := errors.New("enough")
	if err := g.Watch(t.Context(), api.AsksWatchPath+"?stay", func([]byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n = 0
	err = g.Watch(ctx, api.AsksWatchPath+"?stay", func([]byte) error {
		if n++; n == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestGatewayRestartIsSurvived(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	g, err := Open(t.Context(), s, gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	gw.stop()
	if err := g.Call(t.Context(), http.MethodGet, api.WhoAmIPath, nil, nil); err == nil {
		t.Error("a call without a gateway succeeded")
	} else {
		wantError(t, err, api.CodeError, "cannot reach the gateway", "check")
	}
	gw.start(gw.addr)
	var who api.WhoAmI
	if err := g.Call(t.Context(), http.MethodGet, api.WhoAmIPath, nil, &who); err != nil || who.Subject != "u1" {
		t.Errorf("after the restart: %+v, %v", who, err)
	}
}

func TestRefusalKeepsSentenceHintAndCode(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	g, err := Open(t.Context(), s, gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	_, err = g.Stream(t.Context(), "nope", "")
	wantError(t, err, api.CodeError, `there is no connection "nope"`, "sluice ls")
	err = g.Call(t.Context(), http.MethodPost, api.CertificatePath, api.CertificateRequest{PublicKeyPEM: "x"}, nil)
	wantError(t, err, api.CodeUsage, "public key", "")
	err = g.Call(t.Context(), http.MethodGet, "/v1/nothing", nil, nil)
	wantError(t, err, api.CodeError, "404", "sluice version")
}

func TestExpiredLoginSaysSo(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	s.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	_, err := Open(t.Context(), s, gw.addr)
	wantError(t, err, api.CodeNotLoggedIn, "login expired", "sluice login "+gw.addr)
}

// The laptop's clock is behind: only the gateway knows that the login expired.
func TestExpiryThatOnlyTheGatewayKnows(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	c, err := s.Load(gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	other := newGateway(t) // its authority did not sign our certificate
	c.Gateway, c.Trust = other.addr, Trust{Pin: other.fingerprint}
	if err := s.Save(c); err != nil {
		t.Fatal(err)
	}
	g, err := Open(t.Context(), s, other.addr)
	if err == nil {
		defer g.Close()
		err = g.Call(t.Context(), http.MethodGet, api.WhoAmIPath, nil, nil)
	}
	wantError(t, err, api.CodeNotLoggedIn, "login expired", "sluice login")
}

func TestNotLoggedIn(t *testing.T) {
	s := NewStore(t.TempDir(), time.Now)
	_, err := Open(t.Context(), s, "gw.example.com")
	wantError(t, err, api.CodeNotLoggedIn, "not logged in to gw.example.com:8443", "sluice login gw.example.com:8443")
	_, err = Open(t.Context(), s, "")
	wantError(t, err, api.CodeNotLoggedIn, "not logged in", "sluice login")
}

// Somebody in between shows a certificate of their own.
func TestWrongCertificateIsRefused(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	gw.stop()
	var err error
	if gw.cert, _, err = identity.ServerCertificate(t.TempDir(), time.Now(), "localhost"); err != nil {
		t.Fatal(err)
	}
	gw.start(gw.addr)
	_, err = Open(t.Context(), s, gw.addr)
	wantError(t, err, api.CodeError, "wrong certificate", "sluice logout")
	_, err = Login(t.Context(), LoginOptions{Gateway: gw.addr, Store: s, Trust: func(string) error { return nil }, OpenBrowser: func(string) error {
		t.Error("the browser was opened")
		return nil
	}})
	wantError(t, err, api.CodeError, "wrong certificate", "sluice logout")
	if err := s.Forget(gw.addr); err != nil {
		t.Fatal(err)
	}
	gw.login(s)
}

func TestFirstContactAsks(t *testing.T) {
	gw := newGateway(t)
	no := errors.New("no")
	var shown string
	_, err := Login(t.Context(), LoginOptions{Gateway: gw.addr, Store: gw.store(), Trust: func(f string) error { shown = f; return no }})
	if !errors.Is(err, no) || shown != gw.fingerprint {
		t.Errorf("got %v, shown %s, want %s", err, shown, gw.fingerprint)
	}
	_, err = Login(t.Context(), LoginOptions{Gateway: gw.addr, Store: gw.store()})
	wantError(t, err, api.CodeError, "nobody vouches", "--ca")
}

func TestGivenAuthorityMustSignAndName(t *testing.T) {
	gw := newGateway(t)
	ca := identity.EncodeCertificate(gw.cert.Certificate[1])
	login := func(addr string, ca []byte) error {
		var b browser
		defer b.page()
		_, err := Login(t.Context(), LoginOptions{Gateway: addr, Store: gw.store(), CAFile: ca, OpenBrowser: b.open, HTTP: gw.http()})
		return err
	}
	_, port, _ := net.SplitHostPort(gw.addr)
	if err := login("localhost:"+port, ca); err != nil {
		t.Errorf("the right authority and name: %v", err)
	}
	if err := login(gw.addr, ca); err == nil {
		t.Error("a certificate for another name was accepted")
	}
	if err := login("localhost:"+port, identity.EncodeCertificate(newGateway(t).cert.Certificate[1])); err == nil {
		t.Error("a certificate of another authority was accepted")
	}
	if err := login("localhost:"+port, []byte("not PEM")); err == nil {
		t.Error("an unreadable authority was accepted")
	}
}

func TestZeroTrustRecognisesNobody(t *testing.T) {
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	c, err := s.Load(gw.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Trust = Trust{}
	if err := s.Save(c); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s, gw.addr); err == nil {
		t.Error("a gateway was trusted although nothing says how to recognise it")
	}
}

func TestNotAGateway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
		c.Close()
	}()
	_, err = Login(t.Context(), LoginOptions{Gateway: ln.Addr().String(), Store: NewStore(t.TempDir(), time.Now)})
	wantError(t, err, api.CodeError, "not a gateway", "check")
	<-done
}

func TestKeyFileReadableByOthersIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	gw := newGateway(t)
	s := gw.store()
	gw.login(s)
	file := s.file(gw.addr)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load(gw.addr)
		wantError(t, err, api.CodeNotLoggedIn, "others on this machine", "log in again")
	}
}

func TestDamagedCredentials(t *testing.T) {
	s := NewStore(t.TempDir(), time.Now)
	if err := s.Save(&Credentials{Gateway: "a:1"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file("a:1"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load("a:1")
	wantError(t, err, api.CodeNotLoggedIn, "damaged", "sluice login")
	if err := s.Save(&Credentials{Gateway: "a:1"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.file("a:1"), s.file("b:1")); err != nil {
		t.Fatal(err)
	}
	_, err = s.Load("b:1")
	wantError(t, err, api.CodeNotLoggedIn, "damaged", "sluice login")
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"gw": "gw:8443", "GW.example.com": "gw.example.com:8443", "gw:1": "gw:1", "::1": "[::1]:8443", "[::1]:9": "[::1]:9", " gw ": "gw:8443",
	} {
		if got, err := Address(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ":", ":8443", "https://gw", "a b", "u@gw", "gw/x:1"} {
		if got, err := Address(in); err == nil {
			t.Errorf("%q was taken for %q", in, got)
		}
	}
}

func TestPortIsStable(t *testing.T) {
	s := NewStore(t.TempDir(), time.Now)
	first, err := PortFor(s, "gw", "orders")
	if err != nil {
		t.Fatal(err)
	}
	other, err := PortFor(s, "gw", "people")
	if err != nil || other == first {
		t.Errorf("two connections on port %d, %v", other, err)
	}
	// Even while something, perhaps ourselves, listens there.
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		defer ln.Close()
	}
	again, err := PortFor(s, "gw:8443", "orders")
	if err != nil || again != first {
		t.Errorf("%d, then %d, %v", first, again, err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "ports.json"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := PortFor(s, "gw", "orders"); err != nil || again != first {
		t.Errorf("after losing the file: %d, %v; want %d", again, err, first)
	}
}
