package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// opened runs connect until the test ends, and returns what it says it opened.
func opened(t *testing.T, home string, args ...string) connectReady {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var errs strings.Builder
	group.Go(func() {
		env := func(name string) string { return map[string]string{"SLUICE_HOME": home}[name] }
		a := &app{in: strings.NewReader(""), out: w, err: &errs, env: env, now: time.Now}
		a.run(ctx, append([]string{"connect"}, args...))
		w.Close()
	})
	t.Cleanup(func() { cancel(); r.Close(); group.Wait() })
	line, err := bufio.NewReader(r).ReadBytes('\n')
	if err != nil {
		t.Fatalf("connect %v said nothing: %v", args, err)
	}
	var ready connectReady
	if err := json.Unmarshal(line, &ready); err != nil || !ready.Ready {
		t.Fatalf("connect %v said %s (%v)", args, line, err)
	}
	return ready
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
	code, _, stderr := w.run(w.home, "", "connect", "orders", "-o", "json")
	if code != exitError || !strings.Contains(stderr, "taken") || !strings.Contains(stderr, "--port") {
		t.Errorf("the same port was not asked for again: exit code %d, %s", code, stderr)
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
