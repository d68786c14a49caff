// Package pgcluster runs a private PostgreSQL server: in a temporary directory,
// on a free port of 127.0.0.1, with a random password, as an unprivileged user
// when the caller is root. Stop ends it and removes every file it made.
package pgcluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTimeout bounds initdb and the first accepted connection. A loaded machine
// with a slow disk needs a few seconds; a minute is a broken one.
const startTimeout = 60 * time.Second

// Config of a cluster. The zero value is good.
type Config struct {
	Bin      string            // directory of initdb and postgres; "" searches
	Port     int               // 0 takes a free one
	Settings map[string]string // added to postgresql.conf
	HBA      []string          // lines of pg_hba.conf before those that ask everyone for SCRAM-SHA-256
	Cert     []byte            // certificate to show, as PEM; with it, TLS is on
	Key      []byte            // of Cert
	CA       []byte            // authority of the certificates of clients, as PEM; nil asks for none
}

// Cluster is a running server.
type Cluster struct {
	Host     string // always 127.0.0.1
	Port     int
	User     string // superuser
	Password string

	dir    string
	cmd    *exec.Cmd
	exited chan error
	log    string
}

// Start makes a cluster and returns when it accepts connections. It takes about a
// second. ErrNoPostgres says that no server is installed.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	bin := cfg.Bin
	if bin == "" {
		var err error
		if bin, err = Find(); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "sluice-pg-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for postgresql: %w", err)
	}
	c := &Cluster{Host: "127.0.0.1", Port: cfg.Port, User: "postgres", Password: rand.Text(), dir: dir, log: filepath.Join(dir, "server.log")}
	if err := c.start(ctx, bin, cfg); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, bin string, cfg Config) error {
	attr, err := unprivileged(c.dir)
	if err != nil {
		return err
	}
	if err := c.initdb(ctx, bin, attr); err != nil {
		return err
	}
	if c.Port == 0 {
		if c.Port, err = freePort(); err != nil {
			return err
		}
	}
	if err := c.encrypt(cfg, attr); err != nil {
		return fmt.Errorf("give postgresql its certificate: %w", err)
	}
	if err := c.admit(cfg.HBA); err != nil {
		return fmt.Errorf("write pg_hba.conf: %w", err)
	}
	if err := c.configure(cfg.Settings); err != nil {
		return err
	}
	return c.serve(ctx, bin, attr)
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) initdb(ctx context.Context, bin string, attr *syscall.SysProcAttr) error {
	pw := filepath.Join(c.dir, "password")
	if err := os.WriteFile(pw, []byte(c.Password+"\n"), 0o600); err != nil {
		return err
	}
	if err := give(pw, attr); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", c.data(), "-U", c.User,
		"-A", "scram-sha-256", "--pwfile", pw, "-E", "UTF8", "--no-locale", "--no-sync")
	cmd.SysProcAttr, cmd.Dir = attr, c.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	return os.Remove(pw)
}

// configure trades durability for speed: the cluster dies with its directory.
func (c *Cluster) configure(extra map[string]string) error {
	settings := map[string]string{
		"listen_addresses": "'127.0.0.1'", "port": strconv.Itoa(c.Port), "unix_socket_directories": "''",
		"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200", "shared_buffers": "64MB",
	}
	for k, v := range extra {
		settings[k] = v
	}
	var lines strings.Builder
	for k, v := range settings {
		fmt.Fprintf(&lines, "%s = %s\n", k, v)
	}
	return c.extend(lines.String())
}

// extend adds to postgresql.conf; of two lines about one setting the later counts.
func (c *Cluster) extend(text string) error {
	f, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// encrypt puts the certificates where the server looks for them.
func (c *Cluster) encrypt(cfg Config, attr *syscall.SysProcAttr) error {
	if cfg.Cert == nil {
		return nil
	}
	for name, data := range map[string][]byte{"server.crt": cfg.Cert, "server.key": cfg.Key, "root.crt": cfg.CA} {
		path := filepath.Join(c.data(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
		if err := give(path, attr); err != nil {
			return err
		}
	}
	text := "ssl = on\n"
	if cfg.CA != nil {
		text += "ssl_ca_file = 'root.crt'\n"
	}
	return c.extend(text)
}

// admit puts lines at the beginning of pg_hba.conf, where the first that fits counts.
func (c *Cluster) admit(lines []string) error {
	path := filepath.Join(c.data(), "pg_hba.conf")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(strings.Join(lines, "\n")+"\n"), old...), 0o600) // the owner stays
}

func (c *Cluster) serve(ctx context.Context, bin string, attr *syscall.SysProcAttr) error {
	logFile, err := os.Create(c.log)
	if err != nil {
		return err
	}
	defer logFile.Close()
	c.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", c.data())
	c.cmd.SysProcAttr, c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = attr, c.dir, logFile, logFile
	if err := c.cmd.Start(); err != nil {
		c.cmd = nil
		return fmt.Errorf("start postgres: %w", err)
	}
	c.exited = make(chan error, 1) // holds the one result of Wait until Stop reads it
	go func() { c.exited <- c.cmd.Wait() }()
	return c.ready(ctx)
}

// ready waits for a connection that the server itself answers: it greets a
// startup message with 'R' as soon as it takes logins, and with 'E' before.
func (c *Cluster) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c.greets() {
			return nil
		}
		select {
		case err := <-c.exited:
			c.exited <- err
			return fmt.Errorf("postgres ended at start: %w: %s", err, c.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("postgres did not answer: %w: %s", ctx.Err(), c.LogTail())
		case <-tick.C:
		}
	}
}

func (c *Cluster) greets() bool {
	conn, err := net.DialTimeout("tcp", c.addr(), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	body := "\x00\x03\x00\x00user\x00" + c.User + "\x00\x00"
	msg := append([]byte{0, 0, 0, byte(4 + len(body))}, body...)
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return false
	}
	if _, err := conn.Write(msg); err != nil {
		return false
	}
	var first [1]byte
	_, err = io.ReadFull(conn, first[:])
	return err == nil && first[0] == 'R'
}

func (c *Cluster) addr() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// DSN is the connection string of a database as the superuser, without TLS.
func (c *Cluster) DSN(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(c.User, c.Password), Host: c.addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// LogTail is the end of the server's log, for error messages.
func (c *Cluster) LogTail() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return ""
	}
	if len(b) > 2000 {
		b = b[len(b)-2000:]
	}
	return strings.TrimSpace(string(b))
}

// Stop ends the server at once and removes its files. It may be called twice.
func (c *Cluster) Stop() error {
	var errs []error
	if c.cmd != nil {
		// SIGINT is "fast shutdown": sessions are ended, no checkpoint is waited for.
		if err := c.cmd.Process.Signal(interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
		select {
		case <-c.exited:
		case <-time.After(10 * time.Second):
			errs = append(errs, c.cmd.Process.Kill())
			<-c.exited
		}
		c.cmd = nil
	}
	errs = append(errs, os.RemoveAll(c.dir))
	return errors.Join(errs...)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
