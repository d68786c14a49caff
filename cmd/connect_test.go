package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/client"
)

// said is what a command has printed so far.
type said struct {
	mu   sync.Mutex
	text strings.Builder // under mu
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// opened runs connect until the test ends, and returns what it says it opened.
func opened(t *testing.T, home string, args ...string) connectReady {
	t.Helper()
	ready, _ := openedAll(t, home, 1, args...)
	return ready[0]
}

func openedAll(t *testing.T, home string, count int, args ...string) (list []connectReady, errs *said) {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	errs = new(said)
	group.Go(func() {
		env := func(name string) string { return map[string]string{"SLUICE_HOME": home}[name] }
		a := &app{in: strings.NewReader(""), out: w, err: errs, env: env, now: time.Now}
		a.run(ctx, append([]string{"connect"}, args...))
		w.Close()
	})
	t.Cleanup(func() { cancel(); r.Close(); group.Wait() })
	lines := bufio.NewReader(r)
	for range count {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("connect %v said no more: %v\n%s", args, err, errs)
		}
		var ready connectReady
		if err := json.Unmarshal(line, &ready); err != nil || !ready.Ready {
			t.Fatalf("connect %v said %s (%v)", args, line, err)
		}
		list = append(list, ready)
	}
	return list, errs
}

func answers(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), "select count(*) from people").Scan(&n); err != nil || n != 50 {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestConnectOpensThePortItAlwaysHas(t *testing.T) {
	w := newTown(t)
	first := opened(t, w.home, "orders", "-o", "json")
	answers(t, first.URL)
	answers(t, first.URL) // several connections of one client
	code, _, stderr := w.run(w.home, "", "connect", "orders", "-o", "json", "--port", strconv.Itoa(first.Port))
	if code != exitError || !strings.Contains(stderr, "taken") || !strings.Contains(stderr, "--port") {
		t.Errorf("a port that was asked for is taken: exit code %d, %s", code, stderr)
	}
	list, errs := openedAll(t, w.home, 1, "orders", "-o", "json")
	if list[0].Port == first.Port {
		t.Error("two have the same port")
	}
	answers(t, list[0].URL)
	want := fmt.Sprintf("notice: port %d of orders is taken by another program; this time it is %d\nhint: ", first.Port, list[0].Port)
	if !strings.HasPrefix(errs.String(), want) {
		t.Errorf("said %q, want %q", errs, want)
	}
	if port, err := client.PortFor(client.NewStore(w.home, time.Now), w.addr, "orders"); err != nil || port != first.Port {
		t.Errorf("the usual port is now %d, was %d (%v)", port, first.Port, err)
	}
}

func TestConnectOpensSeveralPortsThroughOneTunnel(t *testing.T) {
	w := newTown(t, "billing")
	list, _ := openedAll(t, w.home, 2, "orders", "billing", "-o", "json")
	if list[0].Connection != "orders" || list[1].Connection != "billing" || list[0].Port == list[1].Port || list[0].Password == list[1].Password {
		t.Errorf("opened %+v", list)
	}
	for _, r := range list {
		answers(t, r.URL)
	}
	swapped := strings.Replace(list[0].URL, list[0].Password, list[1].Password, 1)
	if conn, err := pgx.Connect(t.Context(), swapped); err == nil {
		conn.Close(t.Context())
		t.Error("the password of one port opens the other")
	}
}

func TestConnectTakesWhatItCanDo(t *testing.T) {
	w := newTown(t, "billing")
	for _, c := range []struct {
		args []string
		errs string
	}{
		{args: []string{"orders", "billing", "--", "true"}, errs: "error: a command takes one connection, not 2\nhint: name the one"},
		{args: []string{"orders", "billing", "--port", "15000"}, errs: "error: --port is for one connection, not for 2\nhint: leave --port out"},
		{args: []string{"orders", "orders"}, errs: `"orders" is named twice`},
		{args: []string{"orders", "--"}, errs: "the command after -- is missing"},
		{args: []string{"--", "psql"}, errs: "the name of a connection is missing"},
		{args: nil, errs: "the name of a connection is missing"},
		{args: []string{"orders", "--port", "70000"}, errs: "--port is 70000"},
		{args: []string{"orders", "--port", "15000", "--socket"}, errs: "error: --port and --socket were both given, and a unix socket has no port\nhint: leave one of them out"},
	} {
		code, out, errs := w.run(w.home, "", append([]string{"connect"}, c.args...)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, c.errs) {
			t.Errorf("connect %v: exit code %d, %q, %s", c.args, code, out, errs)
		}
	}
	if code, out, errs := w.run(w.home, "", "connect", "orders", "biling", "-o", "json"); code != exitError || out != "" || !strings.Contains(errs, `did you mean "billing"?`) {
		t.Errorf("one of two does not exist: exit code %d, %q, %s", code, out, errs)
	}
}

// A gateway that is stopped says so to a session that does nothing, through tunnel
// and local port, and the person at connect is told too.
func TestGatewayThatStopsSaysGoodbye(t *testing.T) {
	w := newTown(t)
	list, errs := openedAll(t, w.home, 1, "orders", "-o", "json")
	conn, err := pgconn.Connect(t.Context(), list[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	w.stop()
	_, err = conn.ReceiveMessage(t.Context())
	var told *pgconn.PgError
	if !errors.As(err, &told) || told.Severity != "FATAL" || told.Code != "57P01" || told.Message != "the gateway is shutting down" || told.Hint == "" {
		t.Errorf("the session got %v", err)
	}
	for !strings.Contains(errs.String(), "notice: the gateway at "+w.addr+" went away\nhint: ") {
		if t.Context().Err() != nil {
			t.Fatal(errs)
		}
		runtime.Gosched()
	}
}

func TestAnotherProgramOnThisMachineCannotRideAlong(t *testing.T) {
	w := newTown(t)
	r := opened(t, w.home, "orders", "-o", "json")
	for _, url := range []string{
		strings.Replace(r.URL, r.Password, "guess", 1),
		strings.Replace(r.URL, ":"+r.Password, "", 1),
	} {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			conn.Close(t.Context())
			t.Fatalf("%s was let in", url)
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && (refused.Code != "28P01" || refused.Hint == "") {
			t.Errorf("refused with %s %q, hint %q", refused.Code, refused.Message, refused.Hint)
		}
	}
	answers(t, r.URL)
}

func TestSocketIsOnlyOurs(t *testing.T) {
	w := newTown(t)
	r := opened(t, w.home, "orders", "-o", "json", "--socket")
	answers(t, r.URL)
	info, err := os.Stat(r.Host)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the directory of the socket is open to others: %v", info.Mode())
	}
}
