package cmd

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
)

func (a *app) tokenCommand() *cobra.Command {
	var addr string
	c := &cobra.Command{Use: "token", Short: "tokens for jobs and agents that no issuer vouches for", Args: noSuch, RunE: group}
	a.addGateway(c, &addr)
	c.AddCommand(a.tokenCreateCommand(&addr), a.tokenListCommand(&addr), a.tokenRevokeCommand(&addr))
	return c
}

type tokenFlags struct {
	agent       string
	name        string
	connections []string
	groups      []string
	ttl         time.Duration
	uses        int
	writes      bool
	format      format
}

func (a *app) tokenCreateCommand(addr *string) *cobra.Command {
	var o tokenFlags
	c := &cobra.Command{
		Use: "create --connection NAME | --agent NAME", Short: "make a token; it is shown once", Args: noArgs,
		Long: `Make a token that a program trades for certificates of 15 minutes: put it into
SLUICE_TOKEN and the gateway's address into SLUICE_GATEWAY, and run sluice exec or
sluice connect there. It is shown once; the gateway keeps its hash.

With --connection it is for a job in a CI system without OIDC, good for those
connections alone. With --agent it is for an agent that acts for you, with your
rights at most and never longer than your own login; it only reads, whatever the
policy allows, unless you give --writes. Both end when you are locked.`,
		Example: "  sluice token create --connection orders --ttl 15m --uses 1 --name nightly\n  sluice token create --agent claude --groups support",
		RunE:    func(c *cobra.Command, _ []string) error { return a.tokenCreate(c, *addr, o) },
	}
	f := c.Flags()
	f.StringVar(&o.agent, "agent", "", "name of the agent that acts for you")
	f.StringVar(&o.name, "name", "ci", "what the job is called in the record")
	f.StringSliceVar(&o.connections, "connection", nil, "connections it is good for; an agent without any has all of yours")
	f.StringSliceVar(&o.groups, "groups", nil, "only these of your groups")
	f.DurationVar(&o.ttl, "ttl", 0, "how long it can be used; default 15m for a job, your login for an agent")
	f.IntVar(&o.uses, "uses", 0, "how many certificates it buys; default 1 for a job, any number for an agent")
	f.BoolVar(&o.writes, "writes", false, "the agent may change data, as far as the policy lets it")
	addFormat(c, &o.format, "text", "json")
	return c
}

func (a *app) tokenCreate(c *cobra.Command, addr string, o tokenFlags) error {
	in := api.TokenRequest{Kind: "job", Name: o.name, Connections: o.connections, Groups: o.groups, TTL: o.ttl, Uses: o.uses, Writes: o.writes}
	switch {
	case o.agent != "" && c.Flags().Changed("name"):
		return usageError{fmt.Errorf("an agent is named with --agent; --name is for jobs")}
	case o.agent != "":
		in.Kind, in.Name = "agent", o.agent
	case len(o.connections) == 0:
		return tell(exitUsage, "name what it is for with --connection, or an agent with --agent", "a token is for a job on a connection, or for an agent")
	case c.Flags().Changed("uses") && o.uses < 1:
		return usageError{fmt.Errorf("--uses is %d, must be 1 or more", o.uses)}
	}
	if o.ttl < 0 || c.Flags().Changed("ttl") && o.ttl == 0 {
		return usageError{fmt.Errorf("--ttl is %s, must be longer than nothing", howlong.Text(o.ttl))}
	}
	var made api.TokenMade
	if err := a.call(c.Context(), addr, http.MethodPost, api.TokensPath, in, &made); err != nil {
		return err
	}
	if o.format.name == "json" {
		return o.format.print(a.out, table{value: made})
	}
	t := made.Token
	fmt.Fprintf(a.err, "token %s for the %s %s, %s, %s until %s. It is shown once:\n", t.ID, t.Kind, clean(t.Name), reach(t), uses(t.Uses), t.Expires.Local().Format(time.DateTime))
	if _, err := fmt.Fprintln(a.out, made.Secret); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "put it into %s where the program runs, and the gateway's address into %s\n", client.EnvToken, client.EnvGateway)
	return nil
}

func reach(t api.Token) string {
	where := "on all connections of its owner"
	if len(t.Connections) > 0 {
		where = "on " + clean(strings.Join(t.Connections, ", "))
	}
	if t.Writes {
		where += " with leave to write"
	}
	return where
}

func uses(n int) string {
	switch n {
	case -1:
		return "any number of uses"
	case 1:
		return "one use"
	}
	return strconv.Itoa(n) + " uses"
}

func (a *app) tokenListCommand(addr *string) *cobra.Command {
	var f format
	c := &cobra.Command{
		Use: "ls", Short: "list your tokens; all of them for administrators", Args: noArgs, Example: "  sluice token ls -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			var list []api.Token
			if err := a.call(c.Context(), *addr, http.MethodGet, api.TokensPath, nil, &list); err != nil {
				return err
			}
			t := table{head: []string{"ID", "KIND", "NAME", "OWNER", "CONNECTIONS", "USES", "EXPIRES", "STATE"}, value: list}
			for _, k := range list {
				left := strconv.Itoa(k.Uses)
				if k.Uses < 0 {
					left = "any"
				}
				t.rows = append(t.rows, []string{k.ID, k.Kind, k.Name, k.Owner, strings.Join(k.Connections, ","), left, k.Expires.Local().Format(time.DateTime), k.State})
			}
			return f.print(a.out, t)
		},
	}
	addFormat(c, &f, "table", "json", "csv")
	return c
}

func (a *app) tokenRevokeCommand(addr *string) *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: "revoke ID", Short: "end a token, or a certificate by its serial number, and what runs with it", Args: oneArg,
		Long: `End a token: it buys nothing more, and the sessions and tunnels that came of it end
within a second. An administrator may name a certificate instead, by the serial
number that the record and sluice sessions ls -o json call its credential; whoever
has it must log in again. To keep somebody out, use sluice users lock.`,
		Example: "  sluice token revoke t-2k4v7q0c9d1x\n  sluice token revoke 6f1c0d… --reason 'laptop lost'",
		RunE: func(c *cobra.Command, args []string) error {
			var out api.Revoked
			path := strings.Replace(api.TokenRevokePath, "{id}", url.PathEscape(args[0]), 1)
			if err := a.call(c.Context(), *addr, http.MethodPost, path, api.Reason{Reason: why}, &out); err != nil {
				return err
			}
			return a.sayRevoked("revoked", out)
		},
	}
	c.Flags().StringVar(&why, "reason", "", "why, for the record")
	return c
}

// sayRevoked says what ended, so that one who expected something to end sees if nothing did.
func (a *app) sayRevoked(verb string, out api.Revoked) error {
	_, err := fmt.Fprintf(a.err, "%s %s; %s and %s ended\n", verb, clean(out.What), counted(out.Sessions, "session"), counted(out.Tunnels, "tunnel"))
	return err
}

func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
