package cmd

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
)

// Room that a disk should have for the record: below the first a busy gateway has some
// days, below the second it may stop today.
const (
	roomWarning = 5 << 30
	roomProblem = 256 << 20
)

// examineGateway looks at the machine of a gateway, as the gateway would.
func (a *app) examineGateway(ctx context.Context, d *diagnosis, path string) {
	cfg, err := readConfig(path)
	if err != nil {
		d.failed("config", err, "")
		return
	}
	d.ok("config", "%s is read", path)
	rules, source, _, err := readPolicy(cfg.Policy)
	if err != nil {
		d.failed("policy", err, "")
	} else {
		d.ok("policy", "the policy is %s, with %d rules", source, len(rules.List))
	}
	a.examineSettings(ctx, d, cfg, rules)
	a.examineData(d, cfg)
	pin := a.examineOwnCertificate(d, cfg)
	a.examineListener(ctx, d, cfg, pin)
	a.examineRecord(d, cfg)
	p := client.Provider{Issuer: cfg.OIDC.Issuer, ClientID: cfg.OIDC.ClientID, ClientSecret: cfg.OIDC.ClientSecret, Scopes: cfg.OIDC.Scopes}
	if found, ok := a.examineProvider(ctx, d, p); ok {
		examineGroupsClaim(d, cfg.OIDC, found)
	}
	a.examinePeers(ctx, d, cfg)
	for _, c := range cfg.Connections {
		a.examineDatabase(ctx, d, c)
	}
	a.examineOutside(ctx, d, cfg)
}

// examineData looks at the directory with the keys.
func (a *app) examineData(d *diagnosis, cfg *gatewayConfig) {
	info, err := os.Stat(cfg.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.warn("data", "start the gateway, which makes it", "the data directory %s is not there yet", cfg.Data)
		return
	case err != nil:
		d.wrong("data", "run this as the gateway's user", "the data directory %s cannot be looked at: %s", cfg.Data, reason(err))
		return
	case !info.IsDir():
		d.wrong("data", "choose another path with data:", "the data directory %s is a file", cfg.Data)
		return
	}
	wide := []string{}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 { // others may list it; what is in it is closed
		wide = append(wide, fmt.Sprintf("%s (mode %04o)", cfg.Data, info.Mode().Perm()))
	}
	for _, name := range []string{"authority", "authority/client-ca.key", "server", "server/server-ca.key", "record"} {
		path := filepath.Join(cfg.Data, filepath.FromSlash(name))
		if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			wide = append(wide, fmt.Sprintf("%s (mode %04o)", path, info.Mode().Perm()))
		}
	}
	f, err := os.CreateTemp(cfg.Data, ".doctor.*.tmp")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	switch {
	case len(wide) > 0:
		d.wrong("data", "run: chmod -R go= "+cfg.Data+"; whoever has copied the keys can pose as anyone, so think of making new ones", "others on this machine can get at %s", strings.Join(wide, ", "))
	case err != nil:
		d.wrong("data", "run this as the gateway's user; if it is that, give it the directory", "nothing can be written in the data directory %s: %s", cfg.Data, reason(err))
	default:
		d.ok("data", "nobody else on this machine gets at the keys and the record in %s", cfg.Data)
	}
	free, err := freeSpace(cfg.Data)
	const hint = "make room: a gateway that cannot write its record stops, and nothing runs"
	switch {
	case err != nil:
		d.warn("disk", "look yourself", "how much room the disk under %s has cannot be told: %s", cfg.Data, reason(err))
	case free < roomProblem:
		d.wrong("disk", hint, "the disk under %s has %d MiB left", cfg.Data, free>>20)
	case free < roomWarning:
		d.warn("disk", hint, "the disk under %s has %d MiB left", cfg.Data, free>>20)
	default:
		d.ok("disk", "the disk under %s has %d GiB left", cfg.Data, free>>30)
	}
}

// examineOwnCertificate gives the pin that clients should see; "" before the first start.
func (a *app) examineOwnCertificate(d *diagnosis, cfg *gatewayConfig) string {
	path := cfg.TLS.Cert
	own := path == ""
	if own {
		path = filepath.Join(cfg.Data, "server", "server-ca.crt")
	}
	text, err := readFile(path, maxConfig)
	if own && errors.Is(err, fs.ErrNotExist) {
		d.warn("certificate", "start the gateway, which makes it", "the gateway has no certificate yet")
		return ""
	}
	var last *x509.Certificate
	var first *x509.Certificate
	for rest := []byte(text); err == nil; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if last, err = x509.ParseCertificate(block.Bytes); first == nil {
			first = last
		}
	}
	switch {
	case err != nil || last == nil:
		why := "there is none in it"
		if err != nil {
			why = reason(err)
		}
		d.wrong("certificate", "check tls.cert, and that the gateway's user may read it", "the certificate %s cannot be read: %s", path, why)
		return ""
	case !a.now().Before(first.NotAfter):
		d.wrong("certificate", "renew it: no client connects", "the certificate %s has expired on %s", path, first.NotAfter.Format(time.DateOnly))
	case first.NotAfter.Sub(a.now()) < soon:
		d.warn("certificate", "renew it", "the certificate %s expires on %s", path, first.NotAfter.Format(time.DateOnly))
	default:
		d.ok("certificate", "the gateway's pin is %s; %s is good until %s", identity.Fingerprint(last), path, first.NotAfter.Format(time.DateOnly))
	}
	return identity.Fingerprint(last)
}

// examineListener looks whether the gateway runs, and is it.
func (a *app) examineListener(ctx context.Context, d *diagnosis, cfg *gatewayConfig, pin string) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil || port == "0" {
		return // any port: nobody can be told where
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	addr := net.JoinHostPort(host, port)
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		d.warn("port", "start it: sluice gateway --config FILE", "no gateway runs at %s", addr)
		return
	}
	conn.Close()
	shown, err := client.Look(ctx, addr, a.now)
	switch {
	case err != nil:
		d.failed("port", err, "choose another port with listen:")
		return
	case pin != "" && shown.Pin != pin:
		d.wrong("port", "restart the gateway if tls.cert has changed; else choose another port with listen:", "what runs at %s shows another certificate, with the pin %s", addr, shown.Pin)
		return
	}
	d.ok("port", "a gateway runs at %s", addr)
	if info, ahead, err := client.Greet(ctx, addr, client.Trust{Pin: shown.Pin}, a.now); err == nil {
		if mine := buildVersion(); info.Version != mine {
			d.warn("version", "restart the gateway to use the program that is there now", "what runs is sluice %s, this program is %s", info.Version, mine)
		} else {
			d.ok("version", "what runs is this program, sluice %s", mine)
		}
		d.clock("clock", "the gateway that runs", ahead)
	}
}

// examineRecord looks at how the record is kept, and at what of it was signed.
func (a *app) examineRecord(d *diagnosis, cfg *gatewayConfig) {
	dir := filepath.Join(cfg.Data, "record")
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		d.warn("record", "start the gateway, which makes it", "there is no record yet")
		return
	}
	how := "durability is balanced: a read may be answered up to 50 ms before its decision is on disk"
	if cfg.Record.Durability == "strict" {
		how = "durability is strict: every decision is on disk before its answer leaves"
	}
	report, err := audit.VerifyHead(dir, "")
	switch {
	case err != nil:
		d.wrong("record", "run this as the gateway's user; keep the directory as it is", "the record in %s cannot be checked: %v", dir, err)
	case !report.OK():
		d.wrong("record", "keep the directory as it is, and run: sluice audit verify --record "+dir, "what was signed of the record in %s does not agree: %s", dir, report.Problems[0])
	default:
		d.ok("record", "%d entries are signed, by %s; %s", report.Sealed, report.Signer, how)
	}
}

// examineGroupsClaim compares what is read of a token with what the provider says it sends.
func examineGroupsClaim(d *diagnosis, o oidcConfig, found client.Discovery) {
	claim := o.GroupsClaim
	if claim == "" {
		claim = "groups"
	}
	root, _, _ := strings.Cut(claim, ".")
	switch {
	case len(o.Domains) > 0:
		d.ok("groups", "groups come from the claim %q and from %d domains", claim, len(o.Domains))
	case slices.Contains(found.Claims, claim), slices.Contains(found.Claims, root):
		d.ok("groups", "the identity provider sends the claim %q, which groups are read from", claim)
	case len(found.Claims) == 0 || slices.Contains(found.Scopes, root):
		d.ok("groups", "groups are read from the claim %q", claim)
	default:
		d.warn("groups", "log in and look with sluice whoami; if there are none, let the provider put them into the ID token, or correct oidc.groups_claim",
			"the identity provider does not say that it sends the claim %q, which groups are read from", claim)
	}
}
