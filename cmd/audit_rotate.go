package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

func (a *app) auditRotateCommand(addr, dir *string) *cobra.Command {
	var f format
	c := &cobra.Command{
		Use: "rotate-key", Short: "have a new key sign the record from now on", Args: noArgs,
		Long: `Replace the key that signs the record. The old key signs a last checkpoint, with an
entry in it that names the new one, and is then removed from its file. What was signed
before stays good, and sluice audit verify takes either key: the old one leads to the new
one. Give the new key to whoever verifies, by another way than this machine; if the old
one may have been stolen, have them take no other any more.

A gateway does it for its administrators. With --record it is done on the gateway's
machine, while the gateway is stopped.`,
		Example: "  sluice audit rotate-key > log.vkey\n  sluice audit rotate-key --record /var/lib/sluice/record",
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := a.rotateKey(c.Context(), *addr, *dir)
			if err != nil {
				return err
			}
			if f.name == "json" {
				return f.print(a.out, table{value: r})
			}
			fmt.Fprintf(a.err, "entry %d says that another key signs; the old one has signed %d entries. This is the new public key, for whoever verifies:\n", r.Entry, r.Size)
			_, err = fmt.Fprintln(a.out, r.New)
			return err
		},
	}
	addFormat(c, &f, "text", "json")
	return c
}

func (a *app) rotateKey(ctx context.Context, addr, dir string) (r api.KeyReplaced, err error) {
	if dir == "" {
		err = a.call(ctx, addr, http.MethodPost, api.AuditRotatePath, nil, &r)
		return r, err
	}
	public, err := audit.PublicKey(dir)
	if err != nil { // Open would begin a record
		return r, tell(exitError, "give the directory that has log.vkey and entries in it", "there is no record in %s: %s", dir, reason(err))
	}
	name, _, _ := strings.Cut(public, "+")
	l, err := audit.Open(audit.Config{Dir: dir, Origin: name, Now: a.now})
	switch {
	case errors.Is(err, audit.ErrInUse):
		return r, tell(exitError, "have the gateway do it: sluice audit rotate-key, without --record", "a gateway uses the record in %s", dir)
	case err != nil:
		return r, err
	}
	done, err := l.Rotate(ctx, audit.Event{Detail: "by hand on the gateway's machine, without a gateway"})
	if err := errors.Join(err, l.Close()); err != nil {
		return r, err
	}
	return api.KeyReplaced(done), nil
}
