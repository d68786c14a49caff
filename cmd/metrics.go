package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/export"
	"github.com/sluicehq/sluice/gateway"
)

// metricsConfig is a listener for operators. What it tells is numbers, and names of
// connections and exports; whoever reaches it needs no login.
type metricsConfig struct {
	Listen string `yaml:"listen"` // host:port; off without it
}

// metrics gives Prometheus what it asks for, and those who watch over processes what they
// want to know.
type metrics struct {
	stats   func() gateway.Stats
	exports []*export.Exporter
	ready   atomic.Bool // the gateway accepts clients
}

// gauge is one number, with at most two labels.
type gauge struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*gateway.ConnectionStats) float64
	label string // value of the second label
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

// What is told of each connection.
var (
	descSessions   = describe("sessions", "Sessions that are open, each with one connection to the database.", "connection")
	descOpened     = describe("sessions_opened_total", "Sessions that were opened.", "connection")
	descUnreached  = describe("sessions_failed_total", "Sessions that could not be opened.", "connection")
	descStatements = describe("statements_total", "Statements by what was decided first: allow, hold, deny.", "connection", "effect")
	descErrors     = describe("statement_errors_total", "Statements that ended with an error of the database.", "connection")
	descRows       = describe("rows_total", "Rows that were returned or changed.", "connection")
	descBytes      = describe("data_bytes_total", "Bytes of rows and COPY data.", "connection")
	descMasked     = describe("masked_values_total", "Values that were hidden.", "connection")

	descWaiting   = describe("holds_waiting", "Statements and requests that wait for people.")
	descMemory    = describe("memory_used_bytes", "Bytes that large messages take now.")
	descMemoryMax = describe("memory_limit_bytes", "Bytes that large messages may take.")
	descEntries   = describe("record_entries", "Entries of the record.")
	descUnsynced  = describe("record_unsynced_entries", "Entries that are not on disk yet.")
	descUnsealed  = describe("record_unsealed_entries", "Entries that no checkpoint covers yet.")
	descFailed    = describe("record_failed", "1 after the record could not be written: nothing runs any more.")
	descSync      = describe("record_fsync_seconds", "How long fsyncs of the record take.")
	descIndex     = describe("index_behind_entries", "Entries that the index has not taken in.")
	descDelivered = describe("export_delivered_total", "Entries that were handed on.", "export")
	descBehind    = describe("export_behind_entries", "Entries that are still to be handed on.", "export")
	descFailures  = describe("export_failures_total", "Deliveries that failed.", "export")
	descFailing   = describe("export_failing_seconds", "Since when nothing is taken, 0 if all is well.", "export")
	descSilent    = describe("peer_silent_seconds", "Since when another gateway that shares labels is not heard, 0 if it is.", "peer")
)

var perConnection = []gauge{
	{descSessions, prometheus.GaugeValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Sessions) }, ""},
	{descOpened, prometheus.CounterValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Opened) }, ""},
	{descUnreached, prometheus.CounterValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Unreachable) }, ""},
	{descStatements, prometheus.CounterValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Allowed) }, "allow"},
	{descStatements, prometheus.CounterValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Held) }, "hold"},
	{descStatements, prometheus.CounterValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Denied) }, "deny"},
	{descErrors, prometheus.CounterValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Failed) }, ""},
	{descRows, prometheus.CounterValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Rows) }, ""},
	{descBytes, prometheus.CounterValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Bytes) }, ""},
	{descMasked, prometheus.CounterValue, func(c *gateway.ConnectionStats) float64 { return float64(c.Masked) }, ""},
}

// Describe leaves the metrics unchecked: they are made from one look at the gateway.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect is one look at the gateway.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	s := m.stats()
	put := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	for i := range s.Connections {
		c := &s.Connections[i]
		for _, g := range perConnection {
			labels := []string{c.Name}
			if g.label != "" {
				labels = append(labels, g.label)
			}
			put(g.desc, g.kind, g.value(c), labels...)
		}
	}
	put(descWaiting, prometheus.GaugeValue, float64(s.Waiting))
	put(descMemory, prometheus.GaugeValue, float64(s.Memory))
	put(descMemoryMax, prometheus.GaugeValue, float64(s.MemoryLimit))
	put(descEntries, prometheus.CounterValue, float64(s.Record.Entries))
	put(descUnsynced, prometheus.GaugeValue, float64(s.Record.Entries-s.Record.Synced))
	put(descUnsealed, prometheus.GaugeValue, float64(s.Record.Entries-s.Record.Sealed))
	failed := 0.0
	if s.Record.Failed {
		failed = 1
	}
	put(descFailed, prometheus.GaugeValue, failed)
	buckets := map[float64]uint64{}
	for i, bound := range audit.SyncBounds {
		buckets[bound.Seconds()] = s.Record.SyncTimes[i]
	}
	out <- prometheus.MustNewConstHistogram(descSync, s.Record.Syncs, s.Record.SyncTime.Seconds(), buckets)
	if s.Indexed {
		put(descIndex, prometheus.GaugeValue, float64(s.IndexBehind))
	}
	for _, p := range s.Peers {
		put(descSilent, prometheus.GaugeValue, p.Silent.Seconds(), p.Address)
	}
	for _, x := range m.exports {
		e := x.Stats()
		put(descDelivered, prometheus.CounterValue, float64(e.Delivered), e.Name)
		put(descBehind, prometheus.GaugeValue, float64(e.Behind), e.Name)
		put(descFailures, prometheus.CounterValue, float64(e.Failures), e.Name)
		failing := 0.0
		if !e.Failing.IsZero() {
			failing = time.Since(e.Failing).Seconds()
		}
		put(descFailing, prometheus.GaugeValue, failing, e.Name)
	}
}

// handler serves /metrics, /healthz and /readyz, and nothing else.
func (m *metrics) handler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_build_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": buildVersion()}})
	info.Set(1)
	r.MustRegister(info)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { m.tell(w, !m.stats().Record.Failed) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { m.tell(w, m.ready.Load() && !m.stats().Record.Failed) })
	return mux
}

// tell answers a question with yes or no, and what it comes from.
func (m *metrics) tell(w http.ResponseWriter, ok bool) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(map[string]bool{"ok": ok, "serving": m.ready.Load(), "record": !m.stats().Record.Failed}) // who left misses nothing
}

// serve answers on ln until ctx is done.
func (m *metrics) serve(ctx context.Context, ln net.Listener, log *slog.Logger) {
	server := &http.Server{Handler: m.handler(), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: nil}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Error("metrics are no longer served", "error", err)
	}
}

// openMetrics listens for operators, if the configuration says so.
func (a *app) openMetrics(h *house, addr string) (err error) {
	if addr == "" {
		return nil
	}
	h.metrics = &metrics{stats: h.gateway.Stats, exports: h.exports}
	if h.operators, err = listen(addr, "choose another port with metrics.listen:"); err != nil {
		return err
	}
	if host, _, err := net.SplitHostPort(addr); err == nil && !local(host) {
		a.notice("metrics are served on "+addr+" to everyone who reaches it", "listen on 127.0.0.1, or let only your monitoring through")
	}
	return nil
}
