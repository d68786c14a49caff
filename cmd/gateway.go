package cmd

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/gateway"
)

func (a *app) gatewayCommand() *cobra.Command {
	var path string
	var verbose bool
	c := &cobra.Command{
		Use: "gateway --config FILE", Short: "serve databases to people, jobs and agents", Args: noArgs,
		Long: `Serve databases to people, jobs and agents, as the configuration file says.

A policy file that changes is in force within a second, in sessions that are open as
in new ones; SIGHUP has it read at once. One with mistakes is refused, and the old one
stays: sluice policy status says so. Everything else in the configuration is read at
the start only.`,
		Example: "  sluice gateway --config gateway.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			hup := make(chan os.Signal, 1) // a second one before the first is seen asks for the same
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			cfg, err := readConfig(path)
			if err != nil {
				return err
			}
			return a.runGateway(c, cfg, verbose, hup)
		},
	}
	c.Flags().StringVar(&path, "config", "gateway.yaml", "configuration file")
	c.Flags().BoolVar(&verbose, "verbose", false, "log more")
	return c
}

func (a *app) runGateway(c *cobra.Command, cfg *gatewayConfig, verbose bool, hup <-chan os.Signal) error {
	hc, err := a.houseOf(c, cfg)
	if err != nil {
		return err
	}
	hc.hup = hup
	if verbose {
		hc.level = slog.LevelDebug
	}
	ln, err := listen(cfg.Listen, "choose another port with listen:")
	if err != nil {
		return err
	}
	defer ln.Close()
	h, err := a.openHouse(c.Context(), hc)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "serving %d connections on %s\n", len(cfg.Connections), ln.Addr())
	for _, name := range cfg.closed() {
		a.notice("the connection "+clean(name)+" admits nobody", admitHint)
	}
	if h.fingerprint != "" {
		fmt.Fprintf(a.err, "certificate fingerprint, to compare at the first login or to give with --ca-pin: %s\n", h.fingerprint)
	}
	return h.serve(c.Context(), ln)
}

// houseOf turns the file into what a house is made of.
func (a *app) houseOf(c *cobra.Command, cfg *gatewayConfig) (houseConfig, error) {
	hc := houseConfig{
		dir: cfg.Data, hosts: cfg.Hosts, policy: cfg.Policy, witness: cfg.Witness, tidying: cfg.Record.tidying(), exports: cfg.Exports, metrics: cfg.Metrics.Listen, durability: cfg.Record.Durability, literals: cfg.Record.Literals, log: a.err, level: slog.LevelInfo,
		oidc: cfg.OIDC.provider(),
		base: gateway.Config{
			Scopes: cfg.OIDC.Scopes, ClientSecret: cfg.OIDC.ClientSecret, DeviceLogin: cfg.OIDC.Device, Prompt: cfg.OIDC.Prompt,
			Admins: cfg.Admins, Auditors: cfg.Auditors, CertificateTTL: time.Duration(cfg.Certificate),
			Sessions: cfg.Limits.inAll(), SessionsEach: cfg.Limits.each(), Memory: int64(cfg.Limits.Memory),
			Hold: time.Duration(cfg.Approvals.Wait), HoldTransaction: time.Duration(cfg.Approvals.WaitInTransaction),
		},
	}
	key, err := cfg.Pseudonyms.Key.read(c.Context(), "pseudonyms", "key", a.env)
	if err != nil {
		return hc, err
	}
	hc.base.Pseudonyms = []byte(key)
	if hc.peerKey, err = cfg.Peers.read(c.Context(), a.env); err != nil {
		return hc, err
	}
	hc.peers = cfg.Peers.Gateways
	for _, w := range cfg.Workloads {
		hc.workloads = append(hc.workloads, w.workload())
	}
	if len(hc.hosts) == 0 {
		hc.hosts = defaultHosts(cfg.Listen)
	}
	if cfg.TLS.Cert != "" || cfg.TLS.Key != "" {
		cert, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
		if err != nil {
			return hc, tell(exitUsage, "check tls.cert and tls.key: both are PEM files, and belong together", "the gateway's certificate cannot be read: %s", reason(err))
		}
		if leaf := cert.Leaf; leaf != nil && !a.now().Before(leaf.NotAfter) {
			return hc, tell(exitUsage, "renew it: no client would connect", "the gateway's certificate %s has expired on %s", cfg.TLS.Cert, leaf.NotAfter.Format(time.DateOnly))
		}
		hc.cert = &cert
	}
	if hc.openLineage, err = cfg.Lineage.OpenLineage.delivery(c.Context(), a.env); err != nil {
		return hc, err
	}
	for i, entry := range cfg.Approvals.Webhooks {
		hook, err := entry.hook(c.Context(), i, a.env)
		if err != nil {
			return hc, err
		}
		hc.base.Hooks = append(hc.base.Hooks, hook)
	}
	if err := cfg.triggers(c.Context(), &hc.base, a.env); err != nil {
		return hc, err
	}
	hc.triggers = cfg.Triggers.Listen
	for _, entry := range cfg.Connections {
		conn, err := entry.connection(c.Context(), a.env)
		if err != nil {
			return hc, err
		}
		hc.connections = append(hc.connections, conn)
	}
	return hc, nil
}

func defaultHosts(listen string) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" {
		hosts = append(hosts, host)
	}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	return hosts
}
