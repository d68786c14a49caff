package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/mask"
	"github.com/sluicehq/sluice/policy"
)

// longLogin is how long a login may last before doctor says so: a lock is seen at once, but
// what the identity provider says of somebody only when it is renewed.
const longLogin = 24 * time.Hour

// examineSettings looks at what is wrong with settings that the file alone does not show.
func (a *app) examineSettings(ctx context.Context, d *diagnosis, cfg *gatewayConfig, rules *policy.Rules) {
	examineKeeping(d, cfg)
	a.examinePseudonyms(ctx, d, cfg, rules)
	if len(cfg.Auditors) == 0 && len(cfg.Admins) == 0 {
		d.warn("rights", "name groups with auditors: and admins:", "nobody may read the whole record, or end a session of somebody else")
	} else {
		readers := slices.Concat(cfg.Auditors, cfg.Admins)
		slices.Sort(readers)
		d.ok("rights", "the record is read by %s; sessions are ended by %s", orNone(slices.Compact(readers)), orNone(cfg.Admins))
	}
	if ttl := time.Duration(cfg.Certificate); ttl > longLogin {
		d.warn("logins", "take 8h: logins renew themselves", "a login lasts %s, and whoever leaves the company keeps it that long unless they are locked out", howlong.Text(ttl))
	} else {
		d.ok("logins", "a login lasts %s", howlong.Text(orDefault(ttl, gateway.DefaultCertificateTTL)))
	}
	wait, within := time.Duration(cfg.Approvals.Wait), time.Duration(cfg.Approvals.WaitInTransaction)
	if within > 5*time.Minute {
		d.warn("approvals", "take a minute or two: the transaction keeps its locks meanwhile", "a statement in a transaction waits for people as long as %s", howlong.Text(within))
	} else {
		d.ok("approvals", "statements wait for people as long as %s, in a transaction %s", howlong.Text(orDefault(wait, gateway.DefaultHold)), howlong.Text(orDefault(within, gateway.DefaultHoldTransaction)))
	}
	examineLimits(d, &cfg.Limits)
	examineHosts(d, cfg)
}

func orDefault(d, other time.Duration) time.Duration {
	if d == 0 {
		return other
	}
	return d
}

// examineKeeping looks at what is kept in the record, and for how long.
func examineKeeping(d *diagnosis, cfg *gatewayConfig) {
	t := cfg.Record.tidying()
	switch {
	case t.Keep == 0:
		d.ok("retention", "entries are packed after %s, and kept for ever", howlong.Text(t.Pack))
	case t.Keep <= t.Pack:
		d.warn("retention", "take a shorter record.pack", "entries are removed after %s, before they would be packed", howlong.Text(t.Keep))
	default:
		d.ok("retention", "entries are packed after %s and removed after %s", howlong.Text(t.Pack), howlong.Text(t.Keep))
	}
	if m := cfg.Record.Literals; m == gateway.KeepLiterals {
		d.warn("literals", "take pseudonymise, unless you must keep them: the record cannot be changed later", "values that tell of people are in the record as they are")
		return
	} else if m == gateway.DropLiterals {
		d.ok("literals", "values that tell of people are not in the record, and nobody can ask who looked for somebody")
		return
	}
	path := filepath.Join(cfg.Data, literalsKey)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(cfg.Data, "record")); err == nil {
			d.warn("literals", "restore "+path+" from a copy; the gateway makes a new one at its start, and values recorded before are no longer found", "the key of pseudonyms in the record is not there")
		}
		return // before the first start
	}
	if err == nil {
		_, err = readLiteralsKey(path)
	}
	switch {
	case err != nil:
		d.failed("literals", err, "run this as the gateway's user")
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		d.wrong("literals", "run: chmod 600 "+path, "others on this machine can read the key of pseudonyms, and try values with it")
	default:
		d.ok("literals", "values that tell of people are pseudonyms in the record; keep a copy of %s", path)
	}
}

// examinePseudonyms looks at the key of those that results show.
func (a *app) examinePseudonyms(ctx context.Context, d *diagnosis, cfg *gatewayConfig, rules *policy.Rules) {
	key, err := cfg.Pseudonyms.Key.read(ctx, "pseudonyms", "key", a.env)
	needed := rules != nil && rules.Pseudonymous()
	switch {
	case err != nil:
		d.failed("pseudonyms", err, "")
	case key == "" && needed:
		d.wrong("pseudonyms", "give one: pseudonyms: {key: {file: PATH}}, with 32 characters or more that nobody can guess", "a rule shows pseudonyms, but there is no key for them, so the gateway does not start")
	case key == "":
	case len(key) < mask.MinPseudonymKey:
		d.wrong("pseudonyms", "take 32 characters or more that nobody can guess; all pseudonyms become others", "the key of pseudonyms has %d characters", len(key))
	case !needed:
		d.warn("pseudonyms", "say pseudonym: in a rule, or take the key out", "there is a key of pseudonyms, but no rule shows any")
	default:
		d.ok("pseudonyms", "there is a key of pseudonyms; another key makes all of them others")
	}
}

// fileRoom is how many files a gateway has open beside its sessions.
const fileRoom = 200

// examineLimits compares what callers may take with what the system gives. A session takes
// a descriptor towards the database, and a part of one towards the caller.
func examineLimits(d *diagnosis, l *limitsConfig) {
	files, known := openFiles()
	if needs := uint64(2*l.inAll() + fileRoom); known && files < needs {
		d.warn("limits", "raise it (LimitNOFILE= of systemd, ulimit -n), or lower limits.sessions", "%d sessions may need %d open files, and this user may open %d", l.inAll(), needs, files)
		return
	}
	d.ok("limits", "%d sessions at once, %d of one caller", l.inAll(), l.each())
}

// examineHosts compares a certificate of one's own with the names that it is for.
func examineHosts(d *diagnosis, cfg *gatewayConfig) {
	if cfg.TLS.Cert == "" {
		hosts := cfg.Hosts
		if len(hosts) == 0 {
			hosts = defaultHosts(cfg.Listen)
		}
		d.ok("hosts", "the gateway's own certificate is for %s", listedAnd(hosts))
		return
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		d.wrong("hosts", "check tls.cert and tls.key: both are PEM files, and belong together", "the gateway's certificate cannot be used: %s", reason(err))
		return
	}
	for _, host := range cfg.Hosts {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			d.wrong("hosts", "have it made for all of hosts:, or take the name out", "clients that go to %s will refuse the certificate %s, which is not for that name", host, cfg.TLS.Cert)
			return
		}
	}
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil && len(cfg.Hosts) == 0 && host != "" && net.ParseIP(host) == nil && pair.Leaf.VerifyHostname(host) != nil {
		d.warn("hosts", "tell clients the name that it is for", "the certificate %s is not for %s", cfg.TLS.Cert, host)
		return
	}
	d.ok("hosts", "certificate and key belong together")
}
