package cmd

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
)

// soon is when a gateway's certificate should be renewed.
const soon = 14 * 24 * time.Hour

// examineClient looks from a person's side, from the address to the login.
func (a *app) examineClient(ctx context.Context, d *diagnosis, addr string) {
	have, err := a.store().Look(addr)
	switch {
	case err == nil:
		addr = have.Gateway
	case addr == "":
		d.failed("login", err, "")
		return
	default:
		full, aerr := client.Address(addr)
		if aerr != nil {
			d.failed("address", aerr, "")
			return
		}
		addr = full
	}
	if !a.examineRoad(ctx, d, addr) {
		return
	}
	trust, ok := a.examineCertificate(ctx, d, addr, have)
	if !ok {
		return
	}
	info, ok := a.examineGreeting(ctx, d, addr, trust)
	if !ok {
		return
	}
	p := client.Provider{Issuer: info.Issuer, ClientID: info.ClientID, ClientSecret: info.ClientSecret, Scopes: info.Scopes}
	if info.Issuer == "" {
		d.warn("issuer", "set oidc in the gateway's configuration", "the gateway has no identity provider, so nobody can log in")
	} else {
		a.examineProvider(ctx, d, p)
	}
	a.examineLogin(ctx, d, addr, have, err)
}

// examineRoad looks at name and port.
func (a *app) examineRoad(ctx context.Context, d *diagnosis, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		d.failed("address", err, "write host or host:port")
		return false
	}
	if net.ParseIP(host) == nil {
		ips, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			d.wrong("dns", "check the name, and that you are in the network (VPN) where it is known", "the name %s is not known here", host)
			return false
		}
		d.ok("dns", "%s is %s", host, strings.Join(ips, ", "))
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			d.wrong("port", "a firewall may be in between; check the port, and that you are in the right network", "nothing answers at %s within %s", addr, howlong.Text(doctorTime))
		} else {
			d.wrong("port", "check the port, and that the gateway runs", "%s does not take connections: %s", addr, reason(err))
		}
		return false
	}
	conn.Close()
	d.ok("port", "%s takes connections", addr)
	return true
}

// examineCertificate looks at what the gateway shows, and gives by what it is recognised.
func (a *app) examineCertificate(ctx context.Context, d *diagnosis, addr string, have *client.Credentials) (client.Trust, bool) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	shown, err := client.Look(ctx, addr, a.now)
	if err != nil {
		d.failed("certificate", err, "")
		return client.Trust{}, false
	}
	trust, how := client.Trust{Pin: shown.Pin}, "which nobody vouches for: compare it before you log in, or give it with --ca-pin"
	switch {
	case have != nil:
		trust, how = have.Trust, "as at the first login"
	case shown.Public:
		trust, how = client.Trust{System: true}, "signed by a public authority"
	}
	if err := shown.By(trust, addr, a.now); err != nil {
		d.failed("certificate", err, "")
		return client.Trust{}, false
	}
	left := shown.NotAfter.Sub(a.now())
	switch {
	case have == nil && !shown.Public:
		d.warn("certificate", "ask whoever runs the gateway for its fingerprint; it prints it at its start", "the gateway's pin is %s, %s", shown.Pin, how)
	case left < soon:
		d.warn("certificate", "renew it; one that the gateway made itself is renewed by a restart", "the gateway's certificate expires on %s", shown.NotAfter.Local().Format(time.DateOnly))
	default:
		d.ok("certificate", "the gateway's pin is %s, %s; its certificate is good until %s", shown.Pin, how, shown.NotAfter.Local().Format(time.DateOnly))
	}
	return trust, true
}

// examineGreeting talks to the gateway without a login.
func (a *app) examineGreeting(ctx context.Context, d *diagnosis, addr string, trust client.Trust) (api.Info, bool) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	info, ahead, err := client.Greet(ctx, addr, trust, a.now)
	if err != nil {
		d.failed("gateway", err, "look at the gateway's log")
		return info, false
	}
	if mine := buildVersion(); info.Version != mine {
		d.warn("version", "versions that lie one apart understand each other; else update the older one", "the gateway is sluice %s, this is %s", info.Version, mine)
	} else {
		d.ok("version", "gateway and client are both sluice %s", mine)
	}
	d.clock("clock", "the gateway", ahead)
	return info, true
}

// examineLogin looks at the credentials that are kept here, and uses them.
func (a *app) examineLogin(ctx context.Context, d *diagnosis, addr string, have *client.Credentials, err error) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	if err != nil {
		d.failed("login", err, "")
		return
	}
	who := have.Identity
	if !who.Valid(a.now()) {
		d.wrong("login", "run: sluice login "+addr, "your login has expired on %s", who.Expires.Local().Format("2006-01-02 15:04"))
		return
	}
	full, err := a.store().Load(addr)
	if err != nil {
		d.failed("login", err, "")
		return
	}
	gw, err := client.Open(ctx, a.store(), addr)
	if err != nil {
		d.failed("login", err, "run: sluice login "+addr)
		return
	}
	defer gw.Close()
	var me api.WhoAmI
	if err := gw.Call(ctx, http.MethodGet, api.WhoAmIPath, nil, &me); err != nil {
		d.failed("login", err, "run: sluice login "+addr)
		return
	}
	d.ok("login", "the gateway knows you as %s until %s", who.Name(), me.Expires.Local().Format("2006-01-02 15:04"))
	if full.Refresh == "" && who.Method == "oidc" {
		d.warn("renewal", "log in again at that time; whoever runs the gateway can try oidc.prompt: consent, or allow offline_access at the identity provider", "your login is not renewed by itself")
	}
	if len(me.Groups) == 0 {
		d.warn("groups", "if you should be in some, ask whoever runs the gateway to look at oidc.groups_claim", "your identity provider names no groups of yours")
	} else {
		d.ok("groups", "you are in %s", strings.Join(me.Groups, ", "))
	}
	if len(have.Sealed) == 0 {
		d.warn("keyring", "use a keyring if this machine has one, and log in again", "your key lies in a file that only you can read, not in a keyring")
	}
}
