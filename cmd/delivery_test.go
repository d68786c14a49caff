package cmd

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehq/sluice/client"
)

// frames takes what the screen draws, and tells when a text was drawn.
type frames struct {
	mu    sync.Mutex
	text  string
	want  string
	drawn chan time.Time
}

func (f *frames) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text += string(p)
	if f.want != "" && strings.Contains(f.text, f.want) {
		f.drawn <- time.Now()
		f.want = ""
	}
	return len(p), nil
}

// expect forgets what was drawn and waits for another text. await gives when it came.
func (f *frames) expect(want string) (await func(*testing.T) time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text, f.want, f.drawn = "", want, make(chan time.Time, 1)
	drawn := f.drawn
	return func(t *testing.T) time.Time {
		t.Helper()
		select {
		case at := <-drawn:
			return at
		case <-time.After(30 * time.Second):
			f.mu.Lock()
			defer f.mu.Unlock()
			t.Fatalf("%q was not drawn:\n%s", want, f.text)
			return time.Time{}
		}
	}
}

// From the statement in the driver to the frame with it, and from the key to the end of
// the statement, through tunnel, gateway and screen. The figures are in docs/approvals.md.
func TestDeliveryToTheScreen(t *testing.T) {
	d := newDay(t)
	open := func(who string) *client.Gateway {
		gw, err := client.Open(t.Context(), client.NewStore(d.homes[who], time.Now), d.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { gw.Close() })
		return gw
	}
	ada, bob := open("ada"), open("bob")
	cfg, err := pgx.ParseConfig("postgres://me@127.0.0.1/orders?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return ada.Stream(ctx, "orders", "") }
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	in, keys := io.Pipe()
	screen := &frames{}
	empty := screen.expect("Nothing is waiting")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		a := &app{now: time.Now, in: in, out: screen}
		ended <- a.openScreen(ctx, bob, screenOptions{})
	}()
	empty(t)
	press := func(key string) {
		if _, err := io.WriteString(keys, key); err != nil {
			t.Fatal(err)
		}
	}
	var appeared, released []time.Duration
	for range 20 {
		looked := screen.expect("of 50 rows") // the estimate comes with or after the ask
		began := time.Now()
		done := make(chan error, 1)
		go func() {
			_, err := conn.Exec(context.Background(), "update people set age = 1 where id = 7")
			done <- err
		}()
		appeared = append(appeared, looked(t).Sub(began))
		<-time.After(600 * time.Millisecond) // the guard's time
		asked := screen.expect("Approve ")
		press("a")
		asked(t)
		<-time.After(600 * time.Millisecond)
		over := screen.expect("Nothing is waiting")
		began = time.Now()
		press("\r")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		released = append(released, time.Since(began))
		over(t)
	}
	cancel()
	<-ended
	for _, list := range [][]time.Duration{appeared, released} {
		slices.Sort(list)
	}
	t.Logf("on the screen with its estimate: p50 %s, most %s; from the key to the end of the statement: p50 %s, most %s", appeared[10], appeared[19], released[10], released[19])
}
