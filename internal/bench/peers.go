//go:build unix

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// pgbouncer pools in session mode, with TLS to the client.
func (w *world) pgbouncer(ctx context.Context) (*target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(w.dir, name) }
	if err := certificate(file("crt.pem"), file("key.pem")); err != nil {
		return nil, err
	}
	c := w.cluster
	config := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = session
max_client_conn = 5000
default_pool_size = %d
log_connections = 0
log_disconnections = 0
ignore_startup_parameters = extra_float_digits
client_tls_sslmode = require
client_tls_key_file = %s
client_tls_cert_file = %s
`, c.Port, port, file("users.txt"), w.idle+100, file("key.pem"), file("crt.pem"))
	// The user that PgBouncer runs as must read them; the cluster and its password
	// end with this run.
	err = errors.Join(os.WriteFile(file("pgbouncer.ini"), []byte(config), 0o644),
		os.WriteFile(file("users.txt"), fmt.Appendf(nil, "%q %q\n", c.User, c.Password), 0o644))
	if err != nil {
		return nil, err
	}
	path, err := program("pgbouncer")
	if err != nil {
		return nil, err
	}
	argv := []string{path, "-q", file("pgbouncer.ini")}
	if os.Geteuid() == 0 { // it refuses to run as root
		argv = []string{path, "-q", "-u", "nobody", file("pgbouncer.ini")}
	}
	p, err := w.start("pgbouncer", nil, argv...)
	if err != nil {
		return nil, err
	}
	near := endpoint{port, c.User, c.Password, "require", []int{p.pid()}}
	return &target{near: near, far: w.behind(near)}, p.awaitPort(ctx, local(port))
}

// certificate makes a self-signed one: what the client checks is not measured.
func certificate(crt, key string) error {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(crt, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o644))
}

// ssh forwards a port through a server of our own with keys of our own.
func (w *world) ssh(ctx context.Context) (*target, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(w.dir, "ssh")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"host", "id"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	far, err := freePort()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/id.pub\nPidFile none\nPermitRootLogin yes\nUsePAM no\nStrictModes no\n", far, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "sshd.conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	path, err := program("sshd")
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 { // where sshd is built to part from its privileges
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	server, err := w.start("sshd", nil, path, "-D", "-e", "-f", filepath.Join(dir, "sshd.conf"))
	if err != nil {
		return nil, err
	}
	if err := server.awaitPort(ctx, local(far)); err != nil {
		return nil, err
	}
	from := func(ctx context.Context, far int) (e endpoint, err error) {
		port, err := freePort()
		if err != nil {
			return e, err
		}
		laptop, err := w.start("ssh", nil, "ssh", "-F", "/dev/null", "-N", "-p", strconv.Itoa(far), "-i", filepath.Join(dir, "id"),
			"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile="+filepath.Join(dir, "known"),
			"-L", fmt.Sprintf("127.0.0.1:%d:127.0.0.1:%d", port, w.cluster.Port), me.Username+"@127.0.0.1")
		if err != nil {
			return e, err
		}
		return endpoint{port, w.cluster.User, w.cluster.Password, "disable", []int{server.pid(), laptop.pid()}}, laptop.awaitPort(ctx, local(port))
	}
	near, err := from(ctx, far)
	return &target{near: near, far: func(ctx context.Context) (e endpoint, err error) {
		if far, err = w.at(far); err != nil {
			return e, err
		}
		return from(ctx, far)
	}}, err
}

// goodbye is how a process is told to end.
const goodbye = syscall.SIGTERM
