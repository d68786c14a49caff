package cmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
)

// completionTime is how long a person who pressed Tab waits.
const completionTime = 2 * time.Second

// addGateway gives a command the flag that says which gateway is meant.
func (a *app) addGateway(c *cobra.Command, addr *string) {
	c.PersistentFlags().StringVar(addr, "gateway", "", "the gateway to ask; without it the one last logged in to")
	// The only error is a flag that does not exist, and it was just made.
	_ = c.RegisterFlagCompletionFunc("gateway", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		list, err := a.store().Gateways()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	})
}

// names completes the first argument with the connections of the gateway.
func (a *app) names(addr *string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), completionTime)
		defer cancel()
		var names []string
		err := a.with(ctx, *addr, func(gw *client.Gateway) error {
			list, err := connections(ctx, gw)
			for _, conn := range list {
				names = append(names, conn.Name)
			}
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// with does something with a gateway that the person is logged in to.
func (a *app) with(ctx context.Context, addr string, do func(*client.Gateway) error) error {
	return a.withToken(ctx, addr, "", a.notice, do)
}

// call is with for a single message.
func (a *app) call(ctx context.Context, addr, method, path string, in, out any) error {
	return a.with(ctx, addr, func(gw *client.Gateway) error { return gw.Call(ctx, method, path, in, out) })
}

func connections(ctx context.Context, gw *client.Gateway) (list []api.Connection, err error) {
	err = gw.Call(ctx, http.MethodGet, api.ConnectionsPath, nil, &list)
	return list, err
}

// connectionNamed finds a connection before anything is opened, so that a slip of
// the finger is said at once.
func connectionNamed(ctx context.Context, gw *client.Gateway, name string) (api.Connection, error) {
	list, err := connections(ctx, gw)
	if err != nil {
		return api.Connection{}, err
	}
	words := make([]string, len(list))
	for i, c := range list {
		if c.Name == name {
			return c, nil
		}
		words[i] = c.Name
	}
	hint := "run: sluice ls"
	if near := nearest(name, words); near != "" {
		hint = fmt.Sprintf("did you mean %q? run: sluice ls", near)
	}
	return api.Connection{}, tell(exitError, hint, "there is no connection %q for you", name)
}

// own is a gateway in this process in front of a database of one's own, for the
// commands that take --dsn. Nothing listens, and its state is removed at the end.
type own struct {
	dsn, env, policy string
	labels           string // file of labels that people gave; "" for none
}

const (
	ownName  = "dev"
	ownGroup = "sluice-own" // of whoever asks about a database of their own
)

// flags are those that every command with --dsn has.
func (o *own) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.dsn, "dsn", "", "connection string of a database of your own, instead of a connection")
}

func (a *app) withOwn(ctx context.Context, o own, do func(*gateway.Gateway) error) (err error) {
	conn, err := devConnection(o.dsn, ownName, o.env)
	if err != nil {
		return err
	}
	dir, remove, err := dataDir("")
	if err != nil {
		return err
	}
	defer remove()
	h, err := a.openHouse(ctx, houseConfig{dir: dir, connections: []gateway.Connection{conn}, policy: o.policy, log: io.Discard,
		base: gateway.Config{Labels: o.labels, Admins: []string{ownGroup}}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan error, 1) // one result, read below
	go func() {
		watched <- h.gateway.Watch(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil })
	}()
	err = do(h.gateway)
	cancel()
	if werr := <-watched; err == nil {
		err = werr
	}
	if cerr := h.close(); err == nil {
		err = cerr
	}
	return err
}

// nameOrDSN checks that a command got exactly one of a connection and --dsn.
func nameOrDSN(o *own) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return usageError{fmt.Errorf("one connection at a time, not %d", len(args))}
		case len(args) == 1 && o.dsn != "":
			return usageError{fmt.Errorf("give the name of a connection or --dsn, not both")}
		case len(args) == 0 && o.dsn == "":
			return usageError{fmt.Errorf("the name of a connection is missing, or --dsn")}
		}
		return nil
	}
}

// asCaller is who explains: the flags of dev, read in the same way.
func asCaller(as string, groups []string, kind string, now time.Time) (identity.Identity, error) {
	return devIdentity(&devOptions{as: as, groups: groups, kind: kind}, now)
}

// maxSQL is what the gateway takes as one statement.
const maxSQL = 8 << 20

// readSQL reads statements from a file, or from standard input for "-".
func (a *app) readSQL(path string) (string, error) {
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", tell(exitUsage, "check the path given with -f", "the file cannot be read: %v", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxSQL+1))
	if err != nil {
		return "", fmt.Errorf("read the statements: %w", err)
	}
	if len(b) > maxSQL {
		return "", tell(exitUsage, "split it, or load data with \\copy in psql", "the text is longer than 8 MiB")
	}
	return string(b), nil
}

// typing says that standard input is a person at a keyboard.
func (a *app) typing() bool {
	f, ok := a.in.(*os.File)
	return ok && isTerminal(f)
}
