package store

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluicehq/sluice/lineage"
)

// collector is an address that events are sent to.
type collector struct {
	*httptest.Server
	mu   sync.Mutex
	runs []string // "START id", as they came
	fail int      // requests that are still to fail
	code int      // with this
	got  chan struct{}
}

func newCollector(t *testing.T) *collector {
	c := &collector{got: make(chan struct{}, 10_000)} // more than any test sends
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.fail > 0 {
			c.fail--
			w.WriteHeader(c.code)
			return
		}
		body, _ := io.ReadAll(r.Body)
		var ev struct {
			EventType string `json:"eventType"`
			Run       struct {
				RunID string `json:"runId"`
			} `json:"run"`
		}
		if err := json.Unmarshal(body, &ev); err != nil || r.Header.Get("Authorization") != "Bearer t0k" {
			t.Errorf("%v %s", err, body)
		}
		c.runs = append(c.runs, ev.EventType+" "+ev.Run.RunID)
		c.got <- struct{}{}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) wait(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-c.got:
		case <-time.After(30 * time.Second):
			t.Fatal("nothing came")
		}
	}
}

// follow makes the lineage of a record with delivery, once, and leaves as a crash would.
func follow(t *testing.T, record, dir, address, file string) (*Store, *Delivery) {
	t.Helper()
	d, err := NewDelivery(DeliveryConfig{Dir: dir, URL: address, Token: "t0k", File: file, Make: &lineage.OpenLineage{Namespace: "gw", Producer: "x:y"}, Wait: func(int) time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Record: record, Path: filepath.Join(dir, "graph"), Done: d.Done, Sync: d.Sync})
	if err := s.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, d
}

func run(t *testing.T, d *Delivery) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { d.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func TestEachEventArrivesAtLeastOnce(t *testing.T) {
	record := build(t, t.TempDir(), 1000)
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "events.jsonl")
	c := newCollector(t)
	c.fail, c.code = 5, http.StatusServiceUnavailable
	_, d := follow(t, record, dir, c.URL, file)
	stop := run(t, d)
	c.wait(t, 3)
	stop()
	// It crashes: nothing is saved.

	s, _ := follow(t, record, dir, c.URL, file)
	if err := s.Close(); err != nil { // all of it is on disk now
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "openlineage.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	// Half a line that a crash left does not spoil the next.
	if err := os.WriteFile(filepath.Join(dir, "openlineage.jsonl"), append(slices.Clone(data), []byte(`{"eventType":"STA`)...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, d = follow(t, record, dir, c.URL, file)
	want := map[string]bool{}
	for line := range bytes.Lines(data) {
		var ev struct {
			EventType string
			Run       struct{ RunID string }
		}
		if err := json.Unmarshal(line, &ev); err != nil {
			t.Fatal(err)
		}
		want[ev.EventType+" "+ev.Run.RunID] = true
	}
	stop = run(t, d)
	late := time.After(30 * time.Second)
	for sent := false; !sent; {
		select {
		case <-c.got:
		case <-time.After(10 * time.Millisecond): // the last one was counted after it came
		case <-late:
			t.Fatal("some were not sent")
		}
		d.mu.Lock()
		sent = d.state.Sent == d.size
		d.mu.Unlock()
	}
	stop()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range want {
		if !slices.Contains(c.runs, key) {
			t.Errorf("%s never came", key)
		}
	}
	if len(want) < 10 || len(c.runs) > 3*len(want) {
		t.Errorf("%d events, %d times sent", len(want), len(c.runs))
	}
	if out, err := os.ReadFile(file); err != nil || bytes.Count(out, []byte("\n")) < len(want) {
		t.Errorf("the file has %d lines: %v", bytes.Count(out, []byte("\n")), err)
	}
}

// What an address refuses for good does not stop what comes after.
func TestARefusedEventIsLeftOut(t *testing.T) {
	record := build(t, t.TempDir(), 600)
	c := newCollector(t)
	c.fail, c.code = 2, http.StatusUnprocessableEntity
	_, d := follow(t, record, t.TempDir(), c.URL, "")
	stop := run(t, d)
	c.wait(t, 2)
	stop()
}

func TestHistoryIsNotSentTheFirstTime(t *testing.T) {
	record := build(t, t.TempDir(), 600)
	d, err := NewDelivery(DeliveryConfig{Dir: t.TempDir(), URL: "http://127.0.0.1:1", Make: &lineage.OpenLineage{}, From: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	if err := New(Config{Record: record, Path: filepath.Join(t.TempDir(), "graph"), Done: d.Done}).CatchUp(t.Context()); err != nil || d.size != 0 {
		t.Errorf("%d bytes wait, %v", d.size, err)
	}
}
