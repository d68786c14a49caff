package cmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
)

// examineOutside looks at whatever else the gateway talks to, or is asked by. Nothing is
// sent to them: whether somebody listens, and who, is all that is looked at.
func (a *app) examineOutside(ctx context.Context, d *diagnosis, cfg *gatewayConfig) {
	for i, w := range cfg.Workloads {
		a.examineWorkload(ctx, d, fmt.Sprintf("workload %d", i+1), w)
	}
	for i, w := range cfg.Approvals.Webhooks {
		check := fmt.Sprintf("webhook %d", i+1)
		hook, err := w.hook(ctx, i, a.env)
		if err != nil {
			d.failed(check, err, "")
			continue
		}
		a.examineAddress(ctx, d, check, hook.URL, nil, "those who approve are not told of what waits")
	}
	for _, path := range cfg.Witness.Files {
		examineWitness(d, cfg, path)
	}
	for _, u := range cfg.Witness.URLs {
		a.examineAddress(ctx, d, "witness", u, nil, "it keeps no checkpoint of the record")
	}
	for _, e := range cfg.Exports {
		a.examineExport(ctx, d, cfg, e)
	}
	a.examineOpenLineage(ctx, d, cfg.Lineage.OpenLineage)
	a.examineMetrics(ctx, d, cfg.Metrics.Listen)
	a.examineTriggers(ctx, d, cfg)
}

// examineTriggers looks at the hooks that begin runbooks: their secrets, and the files.
func (a *app) examineTriggers(ctx context.Context, d *diagnosis, cfg *gatewayConfig) {
	if len(cfg.Triggers.Hooks) == 0 {
		return
	}
	if err := cfg.triggers(ctx, &gateway.Config{}, a.env); err != nil {
		d.failed("hooks", err, "")
		return
	}
	sh := shelf{dir: cfg.Triggers.Runbooks}
	for _, h := range cfg.Triggers.Hooks {
		check := "hook " + h.Name
		for _, name := range h.Runbooks {
			b, _, err := sh.open(ctx, name)
			switch {
			case err != nil:
				d.failed(check, err, "")
			case b.Connection != h.Connection:
				d.wrong(check, "name the connection of the runbook", "the runbook %s is for the connection %s, not for %s", name, b.Connection, h.Connection)
			default:
				d.ok(check, "messages on %s begin the runbook %s on %s, for %s", cfg.Triggers.Listen, name, h.Connection, h.Owner.Name)
			}
		}
	}
}

// examineWorkload looks at who vouches for jobs.
func (a *app) examineWorkload(ctx context.Context, d *diagnosis, check string, w workloadConfig) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	found, err := client.Discover(ctx, w.Issuer, a.now)
	const hint = "check its issuer, and that the gateway may reach it: jobs of this kind are refused until then"
	switch {
	case err != nil:
		sentence, _, _ := explainError(providerError(w.Issuer, err))
		d.wrong(check, hint, "%s", sentence)
	case found.Keys == 0:
		d.wrong(check, hint, "the issuer %s has no keys, so no token of a job can be verified", w.Issuer)
	default:
		d.ok(check, "the issuer %s of jobs answers; they are in %s", w.Issuer, orNone(w.Groups))
	}
}

func orNone(groups []string) string {
	if len(groups) == 0 {
		return "no group"
	}
	return listedAnd(groups)
}

// examineAddress looks whether somebody listens at a URL, and if their certificate is good.
// otherwise says what does not happen meanwhile.
func (a *app) examineAddress(ctx context.Context, d *diagnosis, check, address string, roots *x509.CertPool, otherwise string) {
	u, err := url.Parse(address)
	if err != nil {
		d.wrong(check, "correct it", "its address cannot be read, so %s", otherwise)
		return
	}
	ports := map[string]string{"https": "443", "http": "80", "syslog+tls": "6514", "syslog+tcp": "514", "syslog+udp": "514"}
	port := u.Port()
	if port == "" {
		port = ports[u.Scheme]
	}
	at := net.JoinHostPort(u.Hostname(), port) // the path may hold a token
	network := "tcp"
	if u.Scheme == "syslog+udp" {
		network = "udp"
	}
	var secure *tls.Config
	if u.Scheme == "https" || u.Scheme == "syslog+tls" {
		secure = &tls.Config{ServerName: u.Hostname(), RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	if err := reached(ctx, network, at, secure); err != nil {
		var trust *tls.CertificateVerificationError
		hint := "check the address, and that the gateway may reach it"
		if errors.As(err, &trust) {
			hint = "give ca: if its authority is your own, or let this machine trust it"
			err = trust.Err
		}
		d.wrong(check, hint, "%s cannot be reached, so %s: %s", at, otherwise, reason(err))
		return
	}
	d.ok(check, "somebody listens at %s", at)
}

// reached opens a connection, and closes it.
func reached(ctx context.Context, network, addr string, secure *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if secure != nil {
		return tls.Client(conn, secure).HandshakeContext(ctx)
	}
	return nil
}

// writable says whether a file is there and can be added to, or could be made.
func writable(path string) error {
	if info, err := os.Stat(path); err == nil {
		if info.IsDir() {
			return errors.New("it is a directory")
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		return f.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".doctor.*.tmp")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// examineWitness looks at a file that keeps checkpoints.
func examineWitness(d *diagnosis, cfg *gatewayConfig, path string) {
	dir := filepath.Join(cfg.Data, "record")
	if err := writable(path); err != nil {
		d.wrong("witness", "mount it, or give the gateway's user the right to add to it", "the witness %s cannot be written, so it keeps no checkpoint: %s", path, reason(err))
		return
	}
	if kept, err := audit.ReadWitness(path); err == nil && audit.Check(dir) == nil {
		if err := audit.Continues(dir, kept); err != nil {
			d.wrong("witness", "keep both as they are; sluice audit verify --record "+dir+" --witness "+path+" says where they differ", "what the witness %s keeps is not the record: %s", path, reason(err))
			return
		}
	}
	if rel, err := filepath.Rel(cfg.Data, path); err == nil && !strings.HasPrefix(rel, "..") {
		d.warn("witness", "take a file on another disk or machine", "the witness %s lies in the data directory: whoever rewrites the record rewrites it too", path)
		return
	}
	d.ok("witness", "the witness %s can be written, and the record continues what it keeps", path)
}

// examineExport looks at a place to which the record is handed on, and how far that is.
func (a *app) examineExport(ctx context.Context, d *diagnosis, cfg *gatewayConfig, e exportConfig) {
	check := "export " + e.Name
	x, err := e.exporter(ctx, cfg.Data, a.env, io.Discard, slog.New(slog.DiscardHandler))
	if err != nil {
		d.failed(check, err, "")
		return
	}
	x.Close()
	const otherwise = "the record is not handed on; what it has waits"
	switch path, isFile := strings.CutPrefix(e.To, "file:"); {
	case isFile:
		if err := writable(path); err != nil {
			d.wrong(check, "make its directory, or give the gateway's user the right to it", "%s cannot be written, so %s: %s", path, otherwise, reason(err))
			return
		}
		d.ok(check, "%s can be written", path)
	case strings.HasPrefix(e.To, "syslog+unix:"):
		u, _ := url.Parse(e.To) // it was checked
		if info, err := os.Stat(u.Path); err != nil || info.Mode()&fs.ModeSocket == 0 {
			d.wrong(check, "start the system's log, or correct to:", "there is no socket at %s, so %s", u.Path, otherwise)
			return
		}
		d.ok(check, "there is a socket at %s", u.Path)
	case e.To != "stdout":
		roots, err := e.roots()
		if err != nil {
			d.failed(check, err, "")
			return
		}
		a.examineAddress(ctx, d, check, e.To, roots, otherwise)
	}
	examineCursor(d, check, cfg.Data, e.Name)
}

// farBehind is how many entries an export is behind before doctor says so: minutes of a
// busy gateway.
const farBehind = 1_000_000

// examineCursor says how far an export has got.
func examineCursor(d *diagnosis, check, data, name string) {
	text, err := os.ReadFile(filepath.Join(data, "exports", name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return // nothing was taken yet
	}
	var c struct{ Seq uint64 }
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		d.wrong(check, "remove it to begin again; what was handed on comes twice", "its cursor exports/%s.json cannot be read: %s", name, reason(err))
		return
	}
	_, size, err := audit.Newest(filepath.Join(data, "record"))
	switch {
	case err != nil: // examineRecord says so
	case c.Seq > uint64(size):
		d.wrong(check, "find out who put an older record back; remove the cursor to begin again", "it has handed on %d entries, but the record has only %d", c.Seq, size)
	case uint64(size)-c.Seq > farBehind:
		d.warn(check, "look at the gateway's log, and at whoever takes it", "it is %d entries behind", uint64(size)-c.Seq)
	}
}

// examineOpenLineage looks at where OpenLineage events go.
func (a *app) examineOpenLineage(ctx context.Context, d *diagnosis, o openLineageConfig) {
	if _, err := o.delivery(ctx, a.env); err != nil {
		d.failed("lineage", err, "")
		return
	}
	if o.File != "" {
		if err := writable(o.File); err != nil {
			d.wrong("lineage", "make its directory, or give the gateway's user the right to it", "the file %s for OpenLineage events cannot be written: %s", o.File, reason(err))
		} else {
			d.ok("lineage", "events of OpenLineage are added to %s", o.File)
		}
	}
	if o.URL != "" {
		a.examineAddress(ctx, d, "lineage", o.URL, nil, "OpenLineage events wait")
	}
	if o.Namespace != "" && o.URL == "" && o.File == "" {
		d.warn("lineage", "give url: or file:", "lineage.openlineage names a namespace, but nobody is told of anything")
	}
}

// examineMetrics looks at who may ask for numbers.
func (a *app) examineMetrics(ctx context.Context, d *diagnosis, listen string) {
	if listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return // the file was checked
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && !ip.IsLoopback() || ip == nil && host != "localhost" {
		d.warn("metrics", "take 127.0.0.1, or let a firewall choose who reaches it: nobody is asked who they are", "metrics are given to whoever reaches %s", listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	at := net.JoinHostPort(host, port)
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/healthz", nil)
	if err != nil {
		return // as above
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: doctorTime}).Do(req)
	if err != nil {
		if ln, free := net.Listen("tcp", listen); free == nil {
			_ = ln.Close() // it was only tried
			d.ok("metrics", "nobody listens at %s yet, and the gateway can", listen)
			return
		}
		d.wrong("metrics", "choose another with metrics.listen", "the address %s is taken by another program", listen)
		return
	}
	_ = resp.Body.Close() // its status is all that counts
	if resp.StatusCode != http.StatusOK {
		d.wrong("metrics", "look at the gateway's log; if something else listens there, choose another address", "what listens at %s answers /healthz with %s", listen, resp.Status)
		return
	}
	d.ok("metrics", "the gateway gives metrics at %s", listen)
}
