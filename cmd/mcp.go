package cmd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/mcp"
)

type mcpFlags struct {
	addr   string
	want   api.TokenRequest
	listen string
	secret string // file
	rows   int
	bytes  int
	limit  time.Duration
	books  string // directory
}

func (a *app) mcpCommand() *cobra.Command {
	var o mcpFlags
	c := &cobra.Command{
		Use: "mcp", Short: "let an AI agent use databases, by the Model Context Protocol", Args: noArgs,
		Long: `Serve tools to an agent's client: list connections, describe a schema, explain,
query, ask for approval, search the record. The client starts this command and talks
to it over standard input and output; sluice mcp install puts it into the client's
configuration. With --listen it serves streamable HTTP on this machine instead, to
who knows the secret that it prints.

The agent has a credential of its own, "NAME for you": made with your login, kept in
memory, not longer than your login, and revoked when the command ends. It has your
rights at most, and only reads unless you give --writes; then the policy says what it
may change. With SLUICE_TOKEN set to a token of sluice token create --agent, that is
used instead. This command never acts as a person or a job.`,
		Example: "  sluice mcp install claude-code\n  sluice mcp --agent claude --connection orders\n  sluice mcp --agent reports --listen 127.0.0.1:7077",
		RunE:    func(c *cobra.Command, _ []string) error { return a.mcp(c, o) },
	}
	f := c.Flags()
	f.StringVar(&o.want.Name, "agent", "agent", "what the agent is called in the record")
	f.StringSliceVar(&o.want.Connections, "connection", nil, "connections it may use; without any all of yours")
	f.StringSliceVar(&o.want.Groups, "groups", nil, "only these of your groups")
	f.BoolVar(&o.want.Writes, "writes", false, "it may change data, as far as the policy lets it")
	f.StringVar(&o.listen, "listen", "", "serve HTTP on this loopback address, such as 127.0.0.1:7077, instead of standard input and output")
	f.StringVar(&o.secret, "secret-file", "", "with --listen: file with the secret that clients must show; without one it is made up and printed")
	f.IntVar(&o.rows, "max-rows", mcp.DefaultRows, "rows of one result, unless the agent asks for more")
	f.IntVar(&o.bytes, "max-bytes", mcp.DefaultBytes, "bytes of one result")
	f.DurationVar(&o.limit, "timeout", mcp.DefaultTimeout, "how long one statement may run, also one of a runbook")
	f.StringVar(&o.books, "runbooks", "", "directory with runbooks that it may run; without it $"+envRunbooks+", else runbooks, if it is there")
	a.addGateway(c, &o.addr)
	c.AddCommand(a.mcpInstallCommand(), a.mcpUninstallCommand())
	return c
}

func (o mcpFlags) check() error {
	switch {
	case o.rows < 1 || o.rows > mcp.MaxRows:
		return usageError{fmt.Errorf("--max-rows is %d, must be from 1 to %d", o.rows, mcp.MaxRows)}
	case o.bytes < 1024 || o.bytes > mcp.MaxBytes:
		return usageError{fmt.Errorf("--max-bytes is %d, must be from 1024 to %d", o.bytes, mcp.MaxBytes)}
	case o.limit <= 0:
		return usageError{fmt.Errorf("--timeout is %s, must be longer than nothing", howlong.Text(o.limit))}
	case o.secret != "" && o.listen == "":
		return usageError{errors.New("--secret-file goes with --listen")}
	case o.listen != "":
		if err := mcp.Loopback(o.listen); err != nil {
			return tell(exitUsage, "write --listen 127.0.0.1:7077; whoever reaches the port acts as the agent", "%v", err)
		}
	}
	return nil
}

func (a *app) mcp(c *cobra.Command, o mcpFlags) error {
	if err := o.check(); err != nil {
		return err
	}
	ctx := c.Context()
	gw, end, err := a.openAgent(ctx, c, o)
	if err != nil {
		return err
	}
	defer end()
	books, err := a.agentBooks(ctx, gw, o.books, o.limit)
	if err != nil {
		return err
	}
	server, err := mcp.New(ctx, mcp.Config{
		Gateway: gw, Version: buildVersion(), Log: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn})), Now: a.now,
		Rows: o.rows, Bytes: o.bytes, Timeout: o.limit, Runbooks: books,
	})
	if errors.Is(err, mcp.ErrNoAgent) {
		return notAnAgent()
	}
	if err != nil {
		return err
	}
	defer server.Close()
	who := server.Who()
	fmt.Fprintf(a.err, "%s, at %s, %s\n", clean(who.Name), gw.Address, leave(who.Writes))
	if o.listen != "" {
		return a.mcpListen(ctx, server, o)
	}
	err = server.Run(ctx, &sdk.IOTransport{Reader: io.NopCloser(a.in), Writer: keepOpen{a.out}})
	if ctx.Err() != nil || errors.Is(err, io.EOF) {
		return nil // the client has gone, or ends us as it goes
	}
	return err
}

func leave(writes bool) string {
	if writes {
		return "may write as far as the policy lets it"
	}
	return "only reads"
}

// keepOpen is standard output, which is not the transport's to close.
type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

// openAgent opens the gateway as an agent: with the token that was given, or as one that
// acts for the person who is logged in here. end lets go of both.
func (a *app) openAgent(ctx context.Context, c *cobra.Command, o mcpFlags) (gw *client.Gateway, end func(), err error) {
	addr := o.addr
	if addr == "" {
		addr = a.env(client.EnvGateway)
	}
	if client.Explicit(a.env, "") != nil {
		for _, name := range []string{"agent", "connection", "groups", "writes"} {
			if c.Flags().Changed(name) {
				return nil, nil, usageError{fmt.Errorf("--%s is said by the token in the environment: leave one of the two out", name)}
			}
		}
		if gw, err = a.openGateway(ctx, addr, ""); err != nil {
			return nil, nil, err
		}
		if gw.Identity.Kind != identity.Agent {
			gw.Close()
			return nil, nil, notAnAgent()
		}
		return gw, func() { gw.Close() }, nil
	}
	store := a.store()
	have, err := store.Load(addr)
	if err != nil {
		return nil, nil, err
	}
	o.want.Kind = string(identity.Agent)
	d := &client.Delegate{Store: store, Gateway: have.Gateway, Want: o.want}
	revoke := func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := d.End(last); err != nil {
			a.notice("the agent's token could not be revoked: "+err.Error(), "it ends with your login; or run: sluice token ls, and sluice token revoke")
		}
	}
	gw, err = client.OpenJob(ctx, client.JobOptions{Gateway: have.Gateway, Ambient: d.Ambient(), Trust: have.Trust, Now: a.now})
	if err != nil {
		revoke()
		return nil, nil, err
	}
	return gw, func() { gw.Close(); revoke() }, nil
}

func notAnAgent() error {
	return tell(exitUsage, "make a token with sluice token create --agent NAME, or unset SLUICE_TOKEN and SLUICE_ID_TOKEN to have an agent act for you",
		"the credential in the environment is not an agent's, and sluice mcp acts as nobody else")
}

func (a *app) mcpListen(ctx context.Context, server *mcp.Server, o mcpFlags) error {
	secret := rand.Text()
	if o.secret != "" {
		raw, err := os.ReadFile(o.secret)
		if err != nil {
			return tell(exitUsage, "check the path given with --secret-file", "the secret cannot be read: %v", err)
		}
		if secret = strings.TrimSpace(string(raw)); len(secret) < mcp.MinSecret {
			return tell(exitUsage, "make one with: openssl rand -hex 16", "the secret in %s is shorter than %d characters", o.secret, mcp.MinSecret)
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return tell(exitError, "choose another port with --listen, or 0 for any that is free", "the address cannot be listened on: %v", err)
	}
	fmt.Fprintf(a.out, "http://%s/mcp\n", ln.Addr())
	if o.secret == "" {
		fmt.Fprintf(a.out, "Authorization: Bearer %s\n", secret)
	}
	return server.ServeHTTP(ctx, ln, secret)
}
