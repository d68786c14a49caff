package cmd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/export"
	"github.com/sluicehq/sluice/audit/index"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/durable"
	"github.com/sluicehq/sluice/lineage/store"
	"github.com/sluicehq/sluice/policy"
	"github.com/sluicehq/sluice/tunnel"
)

// house is a gateway with all that belongs to it in one data directory:
//
//	id          stable name
//	authority/  signs client certificates
//	server/     signs the gateway's own certificate
//	record/     the record; its signing key, its index and its lineage beside it
//	labels.json what people said that columns hold
//	peers.json  what other gateways have been told, and have vouched for
//	standing.json  who is locked, what is revoked, hashes of tokens
//	asks/       what waits for people, and runs that hooks began
//	exports/    how far the record was handed on, for each place
//	literals.key   of the pseudonyms in the record
//	openlineage/  OpenLineage events that wait to be sent
type house struct {
	dir         string
	id          string
	gateway     *gateway.Gateway
	authority   *identity.Authority
	record      *audit.Log
	index       *index.Index
	lineage     *store.Store
	delivery    *store.Delivery // nil if there is none
	tls         *tls.Config
	fingerprint string // of the gateway's own authority; "" with a certificate from elsewhere
	log         *slog.Logger
	policy      *policyFile // nil with the built-in policy
	witnesses   *witnesses
	exports     []*export.Exporter
	tidying     audit.Tidying
	metrics     *metrics     // nil if nobody asks
	operators   net.Listener // who asks
	messages    net.Listener // signed ones, to hooks; nil if there are none
}

// houseConfig is what differs between the gateway, dev and the demo.
type houseConfig struct {
	dir         string
	hosts       []string // in the self-made certificate
	cert        *tls.Certificate
	oidc        *identity.OIDCConfig // nil if nobody logs in
	workloads   []identity.WorkloadConfig
	connections []gateway.Connection
	policy      string // file; "" for the built-in one alone
	durability  string
	literals    string // pseudonymise if empty
	witness     witnessConfig
	tidying     audit.Tidying
	exports     []exportConfig
	metrics     string                // address
	peerKey     []byte                // shared with other gateways; nil if there are none
	peers       []string              // their addresses
	triggers    string                // address, if there are hooks
	openLineage *store.DeliveryConfig // nil if nobody is told
	base        gateway.Config        // durations, groups
	log         io.Writer
	level       slog.Level
	hup         <-chan os.Signal // asks to read the policy again; may be nil
}

// openHouse makes or opens a data directory and the gateway in it.
func (a *app) openHouse(ctx context.Context, cfg houseConfig) (*house, error) {
	if err := durable.MkdirAll(cfg.dir, 0o700); err != nil {
		return nil, tell(exitError, "choose another directory with data:", "the data directory cannot be made: %v", err)
	}
	h := &house{dir: cfg.dir, tidying: cfg.tidying, log: slog.New(slog.NewTextHandler(cfg.log, &slog.HandlerOptions{Level: cfg.level}))}
	var err error
	if h.id, err = stableID(filepath.Join(cfg.dir, "id")); err != nil {
		return nil, err
	}
	if h.authority, err = identity.LoadOrCreateAuthority(filepath.Join(cfg.dir, "authority"), a.now); err != nil {
		return nil, err
	}
	if err := h.certificate(cfg, a.now()); err != nil {
		return nil, err
	}
	gc := cfg.base
	if gc.Rules, gc.PolicySource, gc.PolicyText, err = readPolicy(cfg.policy); err != nil {
		return nil, err
	}
	if cfg.oidc != nil {
		cfg.oidc.Now = a.now
		if gc.Provider, err = identity.NewProvider(ctx, *cfg.oidc); err != nil {
			return nil, providerError(cfg.oidc.Issuer, err)
		}
		gc.Issuer, gc.ClientID = cfg.oidc.Issuer, cfg.oidc.ClientID
	}
	gc.RecordDir, gc.StateDir = filepath.Join(cfg.dir, "record"), filepath.Join(cfg.dir, "asks")
	h.record, err = audit.Open(audit.Config{Dir: gc.RecordDir, Origin: "sluice/" + h.id, Durability: cfg.durability, Now: a.now, Log: h.log})
	if err != nil {
		if errors.Is(err, audit.ErrInUse) {
			return nil, tell(exitError, "stop the other gateway, or give this one its own data directory", "another gateway uses the data directory %s", cfg.dir)
		}
		return nil, err
	}
	if gc.Literals, err = openLiterals(cfg.dir, cfg.literals); err != nil {
		return nil, errors.Join(err, h.record.Close())
	}
	if err := a.openStanding(cfg, &gc); err != nil {
		return nil, errors.Join(err, h.record.Close())
	}
	if gc.Labels == "" {
		gc.Labels = filepath.Join(cfg.dir, "labels.json")
	}
	if gc.Peers, err = h.peersOf(cfg.peerKey, cfg.peers, a.now); err != nil {
		return nil, errors.Join(err, h.record.Close())
	}
	h.witnesses = &witnesses{record: gc.RecordDir, urls: cfg.witness.URLs, log: h.log, every: witnessEvery, told: map[string]int64{}}
	for _, path := range cfg.witness.Files {
		h.witnesses.files = append(h.witnesses.files, audit.WitnessFile{Path: path})
	}
	if err := h.witnesses.check(); err != nil {
		return nil, errors.Join(err, h.record.Close())
	}
	tail := audit.NewTail(gc.RecordDir) // read and decoded once for both
	h.index = index.New(index.Config{Record: gc.RecordDir, Flush: h.record.Flush, Tail: tail, Log: h.log})
	sc := store.Config{Record: gc.RecordDir, Flush: h.record.Flush, Tail: tail, Log: h.log}
	if err := h.deliver(cfg.openLineage); err != nil {
		return nil, errors.Join(err, h.record.Close())
	}
	if h.delivery != nil {
		sc.Done, sc.Sync = h.delivery.Done, h.delivery.Sync
	}
	h.lineage = store.New(sc)
	gc.Index, gc.Lineage = h.index, h.lineage
	if err := a.openExports(ctx, h, cfg.exports); err != nil {
		return nil, errors.Join(err, h.close())
	}
	gc.ID, gc.Version, gc.Connections, gc.Record, gc.Authority, gc.Now, gc.Log = h.id, buildVersion(), cfg.connections, h.record, h.authority, a.now, h.log
	if h.gateway, err = gateway.New(gc); err != nil {
		return nil, errors.Join(err, h.close())
	}
	if err := errors.Join(a.openMetrics(h, cfg.metrics), h.openHooks(cfg.triggers)); err != nil {
		return nil, errors.Join(err, h.close())
	}
	if cfg.policy != "" {
		h.policy = &policyFile{path: cfg.policy, gateway: h.gateway, hup: cfg.hup, now: a.now, seen: offered{text: gc.PolicyText}}
	}
	return h, nil
}

// certificate is what the gateway shows to clients.
func (h *house) certificate(cfg houseConfig, now time.Time) error {
	cert := cfg.cert
	if cert == nil {
		made, fingerprint, err := identity.ServerCertificate(filepath.Join(cfg.dir, "server"), now, cfg.hosts...)
		if err != nil {
			return err
		}
		cert, h.fingerprint = &made, fingerprint
	}
	h.tls = &tls.Config{Certificates: []tls.Certificate{*cert}, ClientCAs: h.authority.Pool()}
	return nil
}

// serve runs the gateway on ln until ctx is done, then closes the record. Meanwhile
// the policy follows its file.
func (h *house) serve(ctx context.Context, ln net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	followed := make(chan error, 1) // one result, read below
	go func() {
		if h.policy == nil {
			followed <- nil
			return
		}
		err := h.policy.follow(ctx)
		if err != nil {
			stop() // it could not be recorded
		}
		followed <- err
	}()
	var others sync.WaitGroup
	others.Go(func() { h.witnesses.follow(ctx) })
	for _, x := range h.exports {
		others.Go(func() { x.Run(ctx) })
	}
	others.Go(func() { h.tidy(ctx) })
	if h.delivery != nil {
		others.Go(func() { h.delivery.Run(ctx) })
	}
	if h.metrics != nil {
		others.Go(func() { h.metrics.serve(ctx, h.operators, h.log) })
		h.metrics.ready.Store(true)
	}
	if h.messages != nil {
		others.Go(func() { serveHooks(ctx, h.messages, h.gateway.Hooks(), h.tls, h.log) })
	}
	err := h.gateway.Serve(ctx, ln, tunnel.Config{TLS: h.tls, Log: h.log})
	stop()
	err = errors.Join(err, <-followed)
	others.Wait()
	failed := h.record.Err()
	err = errors.Join(err, h.close())
	h.witnesses.tell(context.WithoutCancel(ctx)) // of the last checkpoint
	if failed != nil {
		return tell(exitError, "make room, or mend the disk, and start it again: what was recorded is still there, and nothing ran unrecorded",
			"the record in %s can no longer be written, so the gateway has stopped: %s", filepath.Join(h.dir, "record"), reason(failed))
	}
	return err
}

// close closes the record and what is derived from it, and whatever never served.
func (h *house) close() error {
	for _, ln := range []net.Listener{h.operators, h.messages} {
		if ln != nil {
			_ = ln.Close() // it may have been closed by whoever served on it
		}
	}
	errs := []error{h.lineage.Close(), h.index.Close()}
	if h.delivery != nil {
		errs = append(errs, h.delivery.Close())
	}
	return errors.Join(append(errs, h.record.Close())...)
}

// admit makes credentials for who without a login, for a gateway of one's own.
func (h *house) admit(store *client.Store, addr string, who identity.Identity, ttl time.Duration) error {
	key, err := identity.NewKey()
	if err != nil {
		return err
	}
	who.Expires = store.Now().Add(ttl)
	der, err := h.authority.Issue(who, key.Public(), ttl)
	if err != nil {
		return fmt.Errorf("issue a certificate: %w", err)
	}
	pem, err := identity.EncodeKey(key)
	if err != nil {
		return err
	}
	return store.Save(&client.Credentials{
		Gateway: addr, ID: h.id, Trust: client.Trust{Pin: h.fingerprint}, Key: string(pem),
		Cert: string(identity.EncodeCertificate(der)), Identity: who, LoggedIn: store.Now(),
	})
}

// stableID reads or makes the gateway's name.
func stableID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := "gw-" + strings.ToLower(rand.Text()[:10])
	return id, durable.WriteFile(path, []byte(id+"\n"), 0o600)
}

// readPolicy reads a policy file; without one the built-in policy applies.
func readPolicy(path string) (rules *policy.Rules, source, text string, err error) {
	if path == "" {
		return policy.Builtin(), "built-in", policy.BuiltinYAML(), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", "", tell(exitUsage, "check the path given as policy", "the policy cannot be read: %v", err)
	}
	rules, err = policy.Load(filepath.Base(path), data)
	if err != nil {
		return nil, "", "", tell(exitUsage, "mend the policy and try again; nothing was started", "%v", err)
	}
	return rules, path, string(data), nil
}

// listen opens a port; what is wrong with it is said in words.
func listen(addr, hint string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err == nil {
		return ln, nil
	}
	var unknown *net.DNSError
	switch {
	case strings.Contains(err.Error(), "in use") || strings.Contains(err.Error(), "Only one usage"):
		return nil, tell(exitError, hint, "the address %s is taken by another program", addr)
	case errors.Is(err, fs.ErrPermission):
		return nil, tell(exitError, "take a port from 1024, or give the program the right to lower ones", "this user may not listen on %s", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, tell(exitError, "take an address of this machine, or 0.0.0.0 for all of them", "%s is not an address of this machine", addr)
	case errors.As(err, &unknown):
		return nil, tell(exitError, "take an address of this machine, or 0.0.0.0 for all of them", "the name in %s is not known here", addr)
	}
	return nil, tell(exitError, hint, "cannot listen on %s: %s", addr, reason(err))
}

// providerError says why nobody could log in.
func providerError(issuer string, err error) error {
	const hint = "check oidc.issuer, and that the gateway may reach it"
	var unknown *net.DNSError
	var trust *tls.CertificateVerificationError
	var late net.Error
	switch {
	case errors.As(err, &unknown):
		return tell(exitError, hint, "the identity provider %s cannot be reached: the name %s is not known here", issuer, unknown.Name)
	case errors.As(err, &trust):
		return tell(exitError, "let this machine trust the authority of its certificate", "the identity provider %s has a certificate that this machine does not trust: %v", issuer, trust.Err)
	case errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "refused"):
		return tell(exitError, hint, "the identity provider %s cannot be reached: nothing listens there", issuer)
	case errors.As(err, &late) && late.Timeout():
		return tell(exitError, hint, "the identity provider %s does not answer", issuer)
	}
	text, _, _ := strings.Cut(err.Error(), "\n") // an answer that is no JSON is repeated whole
	return tell(exitError, hint, "the identity provider %s cannot be used: %s", issuer, short(text, 300))
}
