package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/client"
)

type connectFlags struct {
	addr       string
	port       int
	socket     bool
	noPassword bool
	format     format
}

// connectReady is what connect prints with -o json once the port is open.
type connectReady struct {
	Ready    bool   `json:"ready"`
	URL      string `json:"url"`
	Host     string `json:"host"` // directory of the socket with --socket
	Port     int    `json:"port"`
	User     string `json:"user"`
	Password string `json:"password,omitempty"`
	Database string `json:"database"`
}

func (a *app) connectCommand() *cobra.Command {
	var o connectFlags
	c := &cobra.Command{
		Use: "connect NAME [-- COMMAND…]", Short: "open a local port to a database, or run a command with one",
		Long: `Open a local port to a database. The port of a connection stays the same, so that
a saved profile goes on working; the password is made anew each time, so that
other programs on this machine cannot use it.

With a command, a port is opened for it alone, PGHOST, PGPORT, PGUSER, PGPASSWORD,
PGDATABASE, PGSSLMODE and DATABASE_URL are set, and its exit status is ours.`,
		Example: "  sluice connect orders\n  sluice connect orders -- psql -c 'select 1'",
		Args: func(c *cobra.Command, args []string) error {
			dash := c.ArgsLenAtDash()
			if dash < 0 {
				dash = len(args)
			}
			switch {
			case dash == 0:
				return usageError{errors.New("the name of a connection is missing")}
			case dash > 1:
				return usageError{errors.New("one connection at a time; a command comes after --")}
			case c.ArgsLenAtDash() == len(args):
				return usageError{errors.New("the command after -- is missing")}
			}
			return nil
		},
		ValidArgsFunction: a.names(&o.addr),
		RunE:              func(c *cobra.Command, args []string) error { return a.connect(c, args[0], args[1:], o) },
	}
	c.Flags().IntVar(&o.port, "port", 0, "local port, instead of the connection's own")
	c.Flags().BoolVar(&o.socket, "socket", false, "open a unix socket that only you can use, instead of a port")
	c.Flags().BoolVar(&o.noPassword, "no-password", false, "let every program on this machine use the port")
	c.MarkFlagsMutuallyExclusive("port", "socket")
	a.addGateway(c, &o.addr)
	addFormat(c, &o.format, "text", "json")
	return c
}

func (a *app) connect(c *cobra.Command, name string, command []string, o connectFlags) error {
	if o.port < 0 || o.port > 65535 {
		return usageError{fmt.Errorf("--port is %d, must be 1 to 65535", o.port)}
	}
	ctx, stop := c.Context(), func() {}
	if len(command) > 0 {
		ctx, stop = untilTerminated(c.Context())
	}
	defer stop()
	return a.with(ctx, o.addr, func(gw *client.Gateway) error {
		conn, err := connectionNamed(ctx, gw, name)
		if err != nil {
			return err
		}
		ln, host, closeLocal, err := a.openLocal(o, gw.Address, name, len(command) > 0)
		if err != nil {
			return err
		}
		defer closeLocal()
		ready := connectReady{Ready: true, Host: host, Port: 5432, User: "sluice", Database: conn.Database}
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
			ready.Port = tcp.Port
		}
		var verifier string
		if !o.noPassword && !o.socket {
			ready.Password, verifier = client.NewPassword()
		}
		ready.URL = ready.url()
		log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
		open := func(ctx context.Context) (net.Conn, error) { return gw.Stream(ctx, name, verifier) }
		if len(command) == 0 {
			if err := a.printReady(o, name, ready); err != nil {
				return err
			}
			return client.Forward(ctx, ln, open, log)
		}
		fctx, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1) // one result, read below
		go func() { ended <- client.Forward(fctx, ln, open, log) }()
		err = a.runCommand(ctx, command, ready)
		cancel()
		if ferr := <-ended; err == nil {
			err = ferr
		}
		return err
	})
}

// openLocal opens what programs connect to. A command gets any free port.
func (a *app) openLocal(o connectFlags, addr, name string, command bool) (ln net.Listener, host string, closeLocal func(), err error) {
	if o.socket {
		dir, err := os.MkdirTemp("", "sluice-") // for its owner only
		if err != nil {
			return nil, "", nil, fmt.Errorf("make a directory for the socket: %w", err)
		}
		path := filepath.Join(dir, ".s.PGSQL.5432")
		ln, err := net.Listen("unix", path)
		if err == nil {
			err = os.Chmod(path, 0o600)
		}
		if err != nil {
			os.RemoveAll(dir)
			return nil, "", nil, tell(exitError, "leave --socket out, or set TMPDIR to a shorter path", "the socket cannot be opened: %v", err)
		}
		return ln, dir, func() { ln.Close(); os.RemoveAll(dir) }, nil
	}
	port := o.port
	if port == 0 && !command {
		if port, err = client.PortFor(a.store(), addr, name); err != nil {
			return nil, "", nil, err
		}
	}
	ln, err = listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "choose another one with --port, or end the other program")
	if err != nil {
		return nil, "", nil, err
	}
	return ln, "127.0.0.1", func() { ln.Close() }, nil
}

func (r connectReady) url() string {
	u := url.URL{Scheme: "postgres", User: url.User(r.User), Path: "/" + r.Database}
	if r.Password != "" {
		u.User = url.UserPassword(r.User, r.Password)
	}
	q := url.Values{"sslmode": {"disable"}}
	if strings.HasPrefix(r.Host, "/") {
		q.Set("host", r.Host)
		q.Set("port", strconv.Itoa(r.Port))
	} else {
		u.Host = net.JoinHostPort(r.Host, strconv.Itoa(r.Port))
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func (a *app) printReady(o connectFlags, name string, r connectReady) error {
	if o.format.name == "json" {
		return json.NewEncoder(a.out).Encode(r)
	}
	_, err := fmt.Fprintf(a.err, "%s is ready. Ctrl-C closes it.\n\n  psql '%s'\n\n", name, r.URL)
	return err
}

// untilTerminated ends with SIGTERM, but not with Ctrl-C: the terminal sends that to
// the command too, which may only mean to cancel a statement. Handling the signal,
// rather than ignoring it, leaves the command's own handling as it is.
func untilTerminated(ctx context.Context) (context.Context, func()) {
	out, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
	out, cancel := context.WithCancel(out)
	interrupts := make(chan os.Signal, 1) // what arrives is dropped
	signal.Notify(interrupts, os.Interrupt)
	unlink := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); cause != nil && strings.HasPrefix(cause.Error(), os.Interrupt.String()) {
			return
		}
		cancel()
	})
	return out, func() { unlink(); signal.Stop(interrupts); cancel(); stop() }
}

// killTime is how long a command may take to end after SIGTERM.
const killTime = 5 * time.Second

// runCommand runs a program with the port in its environment.
func (a *app) runCommand(ctx context.Context, command []string, r connectReady) error {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = a.in, a.out, a.err
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = killTime
	c.Env = append(slices.DeleteFunc(os.Environ(), elsewhere),
		"PGHOST="+r.Host, "PGPORT="+strconv.Itoa(r.Port), "PGUSER="+r.User, "PGPASSWORD="+r.Password,
		"PGDATABASE="+r.Database, "PGSSLMODE=disable", "DATABASE_URL="+r.URL)
	err := c.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		if ws, ok := ended.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return exitStatus{128 + int(ws.Signal())} // as shells say it
		}
		return exitStatus{ended.ExitCode()}
	}
	if err != nil {
		return tell(exitError, "check its name and your PATH", "the command %s cannot be run: %v", command[0], err)
	}
	return nil
}

// elsewhere finds settings that would lead a PostgreSQL client past the port, or
// make it ask the port for what a local one need not have.
func elsewhere(setting string) bool {
	name, _, _ := strings.Cut(setting, "=")
	return slices.Contains([]string{
		"PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGPASSFILE", "PGREQUIREAUTH", "PGCHANNELBINDING",
		"PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGSSLNEGOTIATION", "PGREQUIRESSL", "PGGSSENCMODE",
	}, name)
}
