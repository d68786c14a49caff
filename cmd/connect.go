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
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/client"
)

type connectFlags struct {
	addr       string
	tokenFile  string
	port       int
	socket     bool
	noPassword bool
	printURL   bool
	entries    entryFlags
	format     format

	run string // that the sessions are part of; "" for none
}

// connectReady is what connect prints with -o json once the port is open, a line for
// each connection.
type connectReady struct {
	Ready      bool   `json:"ready"`
	Connection string `json:"connection"`
	URL        string `json:"url"`
	Host       string `json:"host"` // directory of the socket with --socket
	Port       int    `json:"port"`
	User       string `json:"user"`
	Password   string `json:"password,omitempty"`
	Database   string `json:"database"`
}

func (a *app) connectCommand() *cobra.Command {
	var o connectFlags
	c := &cobra.Command{
		Use: "connect NAME… [-- COMMAND…]", Short: "open local ports to databases, or run a command with one",
		Long: `Open a local port to each database, all through one tunnel. The port of a connection
stays the same, so that a saved profile goes on working; the password is made anew
each time, so that other programs on this machine cannot use it. While the gateway
is away the ports stay open: programs wait a while, and are then told why.

With a command, a port is opened for it alone, PGHOST, PGPORT, PGUSER, PGPASSWORD,
PGDATABASE, PGSSLMODE and DATABASE_URL are set, and its exit status is ours.

--pg-service NAME makes the port known to psql service=NAME and all who read that
file, for as long as it is open. --write dbeaver makes a connection there that stays,
and whose password is in ~/.pgpass while the port is open; --write pgadmin makes a file
to import. --remove takes them out. Entries of others in these files are never touched.`,
		Example: "  sluice connect orders\n  sluice connect orders billing\n  sluice connect orders -- psql -c 'select 1'\n  sluice connect orders --pg-service orders",
		Args:    func(c *cobra.Command, args []string) error { return o.check(args, c.ArgsLenAtDash()) },
		ValidArgsFunction: func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			names, how := a.names(&o.addr)(c, nil, word)
			return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) }), how
		},
		RunE: func(c *cobra.Command, args []string) error {
			names, command := args, []string(nil)
			if dash := c.ArgsLenAtDash(); dash >= 0 {
				names, command = args[:dash], args[dash:]
			}
			return a.connect(c.Context(), names, command, o)
		},
	}
	c.Flags().IntVar(&o.port, "port", 0, "local port, instead of the connection's own")
	c.Flags().BoolVar(&o.socket, "socket", false, "open a unix socket that only you can use, instead of a port")
	c.Flags().BoolVar(&o.noPassword, "no-password", false, "let every program on this machine use the port")
	c.Flags().BoolVar(&o.printURL, "print-url", false, "print the URL of each port alone, on standard output")
	o.entries.flags(c)
	c.MarkFlagsMutuallyExclusive("write", "socket")
	a.addGateway(c, &o.addr)
	addTokenFile(c, &o.tokenFile)
	addFormat(c, &o.format, "text", "json")
	c.MarkFlagsMutuallyExclusive("print-url", "output")
	return c
}

// check looks at the arguments, of which dash come before "--"; -1 without one.
func (o connectFlags) check(args []string, dash int) error {
	names := args
	if dash >= 0 {
		names = args[:dash]
	}
	switch {
	case len(names) == 0:
		return usageError{errors.New("the name of a connection is missing")}
	case dash == len(args):
		return usageError{errors.New("the command after -- is missing")}
	case len(names) > 1 && dash >= 0:
		return tell(exitUsage, "name the one that the command is for", "a command takes one connection, not %d", len(names))
	case len(names) > 1 && o.port != 0:
		return tell(exitUsage, "leave --port out: each connection has a port of its own", "--port is for one connection, not for %d", len(names))
	case dash >= 0 && len(o.entries.write) > 0:
		return tell(exitUsage, "leave the command out", "--write is for a port that stays, not for that of a command")
	case len(names) > 1 && o.entries.service != "":
		return tell(exitUsage, "connect them one by one", "--pg-service is for one connection, not for %d", len(names))
	case o.socket && o.port != 0:
		return tell(exitUsage, "leave one of them out", "--port and --socket were both given, and a unix socket has no port")
	case o.port < 0 || o.port > 65535:
		return usageError{fmt.Errorf("--port is %d, must be 1 to 65535", o.port)}
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return usageError{fmt.Errorf("the connection %q is named twice", name)}
		}
	}
	return nil
}

// localPort is one connection's, open on this machine.
type localPort struct {
	connectReady
	env   string // of the connection
	ln    net.Listener
	close func()
	open  func(context.Context) (net.Conn, error)
}

func (a *app) connect(ctx context.Context, names, command []string, o connectFlags) error {
	stop := func() {}
	if len(command) > 0 {
		ctx, stop = untilTerminated(ctx)
	}
	defer stop()
	if len(o.entries.remove) > 0 {
		return a.removeProfiles(ctx, o.addr, names, o.entries)
	}
	o.run = a.env(runVar)
	return a.withToken(ctx, o.addr, o.tokenFile, a.notice, func(gw *client.Gateway) error {
		var ports []localPort
		for _, name := range names {
			p, err := a.openPort(ctx, gw, name, o, len(command) > 0)
			if err != nil {
				return err
			}
			defer p.close()
			ports = append(ports, p)
			forget, err := a.writeEntries(ctx, gw.Address, p, o.entries)
			defer forget()
			if err != nil {
				return err
			}
		}
		if len(command) == 0 {
			if err := a.printReady(o, ports); err != nil {
				return err
			}
			return a.forward(ctx, gw, ports)
		}
		fctx, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1) // one result, read below
		go func() { ended <- a.forward(fctx, gw, ports) }()
		err := a.runCommand(ctx, command, ports[0].connectReady)
		cancel()
		if ferr := <-ended; err == nil {
			err = ferr
		}
		return err
	})
}

// forward serves the ports until ctx ends or one of them has, and says when the
// gateway goes away and comes back.
func (a *app) forward(ctx context.Context, gw *client.Gateway, ports []localPort) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var group sync.WaitGroup
	group.Go(func() {
		gw.Hold(ctx, func(sentence, hint string) { a.notice(sentence, hint) })
	})
	errs := make([]error, len(ports))
	for i, p := range ports {
		group.Go(func() {
			defer cancel()
			errs[i] = client.Forward(ctx, p.ln, p.open, log)
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// notice tells what is no error of the command.
func (a *app) notice(sentence, hint string) {
	text := a.paint("33", "notice:") + " " + sentence + "\n"
	if hint != "" {
		text += a.paint("36", "hint:") + " " + hint + "\n"
	}
	fmt.Fprint(a.err, text)
}

func (a *app) openPort(ctx context.Context, gw *client.Gateway, name string, o connectFlags, command bool) (localPort, error) {
	conn, err := connectionNamed(ctx, gw, name)
	if err != nil {
		return localPort{}, err
	}
	ln, host, closeLocal, err := a.openLocal(o, gw.Address, name, command)
	if err != nil {
		return localPort{}, err
	}
	ready := connectReady{Ready: true, Connection: name, Host: host, Port: 5432, User: "sluice", Database: conn.Database}
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
		ready.Port = tcp.Port
	}
	var verifier string
	if !o.noPassword && !o.socket {
		ready.Password, verifier = client.NewPassword()
	}
	ready.URL = ready.url()
	open := func(ctx context.Context) (net.Conn, error) { return gw.StreamOf(ctx, name, verifier, o.run) }
	return localPort{connectReady: ready, env: conn.Env, ln: ln, close: closeLocal, open: open}, nil
}

// openLocal opens what programs connect to. A command gets any free port.
func (a *app) openLocal(o connectFlags, addr, name string, command bool) (ln net.Listener, host string, closeLocal func(), err error) {
	if o.socket {
		return openSocket()
	}
	port := o.port
	if port == 0 && !command {
		if port, err = client.PortFor(a.store(), addr, name); err != nil {
			return nil, "", nil, err
		}
	}
	const local = "127.0.0.1"
	ln, err = listen(net.JoinHostPort(local, strconv.Itoa(port)), "choose another one with --port, or end the other program")
	if err != nil && o.port == 0 && port != 0 && strings.Contains(err.Error(), "is taken") {
		// The remembered port stays the connection's own: the next time it may be free.
		remembered := err
		if ln, err = net.Listen("tcp", local+":0"); err != nil {
			return nil, "", nil, remembered
		}
		a.notice(fmt.Sprintf("port %d of %s is taken by another program; this time it is %d", port, name, ln.Addr().(*net.TCPAddr).Port),
			"end the other program if a saved profile needs the usual port")
	}
	if err != nil {
		return nil, "", nil, err
	}
	return ln, local, func() { ln.Close() }, nil
}

// openSocket opens one in a directory of its own, as the name of the file is fixed.
func openSocket() (ln net.Listener, host string, closeLocal func(), err error) {
	dir, err := os.MkdirTemp("", "sluice-") // for its owner only
	if err != nil {
		return nil, "", nil, fmt.Errorf("make a directory for the socket: %w", err)
	}
	path := filepath.Join(dir, ".s.PGSQL.5432")
	ln, err = net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, "", nil, tell(exitError, "leave --socket out, or set TMPDIR to a shorter path", "the socket cannot be opened: %v", err)
	}
	return ln, dir, func() { ln.Close(); os.RemoveAll(dir) }, nil
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

func (a *app) printReady(o connectFlags, ports []localPort) error {
	if o.printURL {
		for _, p := range ports {
			if _, err := fmt.Fprintln(a.out, p.URL); err != nil {
				return err
			}
		}
		return nil
	}
	if o.format.name == "json" {
		for _, p := range ports {
			if err := json.NewEncoder(a.out).Encode(p.connectReady); err != nil {
				return err
			}
		}
		return nil
	}
	if p := ports[0]; len(ports) == 1 {
		_, err := fmt.Fprintf(a.err, "%s is ready. Ctrl-C closes it.\n\n  psql '%s'\n\n", p.Connection, p.URL)
		return err
	}
	var lines strings.Builder
	for _, p := range ports {
		fmt.Fprintf(&lines, "%s is ready: psql '%s'\n", p.Connection, p.URL)
	}
	_, err := fmt.Fprint(a.err, lines.String(), "Ctrl-C closes them.\n")
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
	return a.runWith(ctx, command, append(slices.DeleteFunc(os.Environ(), elsewhere), r.environment()...))
}

// environment leads PostgreSQL clients to the port.
func (r connectReady) environment() []string {
	return []string{
		"PGHOST=" + r.Host, "PGPORT=" + strconv.Itoa(r.Port), "PGUSER=" + r.User, "PGPASSWORD=" + r.Password,
		"PGDATABASE=" + r.Database, "PGSSLMODE=disable", "DATABASE_URL=" + r.URL,
	}
}

// runWith runs a program in an environment. How it ended is an exitStatus, unless it
// ended well.
func (a *app) runWith(ctx context.Context, command, env []string) error {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = a.in, a.out, a.err
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = killTime
	c.Env = env
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
