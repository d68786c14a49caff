package cmd

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
)

func (a *app) usersCommand() *cobra.Command {
	var addr, why string
	c := &cobra.Command{Use: "users", Short: "who is connected, and who is locked out", Args: noSuch, RunE: group}
	a.addGateway(c, &addr)
	var f format
	ls := &cobra.Command{
		Use: "ls", Short: "list who is connected and who is locked, for administrators", Args: noArgs, Example: "  sluice users ls",
		RunE: func(c *cobra.Command, _ []string) error {
			var list []api.User
			if err := a.call(c.Context(), addr, http.MethodGet, api.UsersPath, nil, &list); err != nil {
				return err
			}
			t := table{head: []string{"NAME", "KIND", "TUNNELS", "SESSIONS", "STATE", "REASON"}, value: list}
			for _, u := range list {
				state := "connected"
				if u.Locked {
					state = "locked by " + u.By
				}
				t.rows = append(t.rows, []string{u.Name, u.Kind, strconv.Itoa(u.Tunnels), strconv.Itoa(u.Sessions), state, u.Reason})
			}
			return f.print(a.out, t)
		},
	}
	addFormat(ls, &f, "table", "json", "csv")
	lock := &cobra.Command{
		Use: "lock EMAIL|SUBJECT", Short: "keep somebody out, from now on", Args: oneArg,
		Long: `Keep somebody out: their sessions and tunnels end within a second, and so do those
of their agents and of the jobs that run with their tokens. They get in again only
after sluice users unlock, also if the gateway starts anew.`,
		Example: "  sluice users lock ada@example.com --reason 'laptop lost'",
		RunE: func(c *cobra.Command, args []string) error {
			var out api.Revoked
			if err := a.call(c.Context(), addr, http.MethodPost, api.UserLockPath, api.UserLock{Name: args[0], Reason: why}, &out); err != nil {
				return err
			}
			return a.sayRevoked("locked", out)
		},
	}
	lock.Flags().StringVar(&why, "reason", "", "why: for them, and for the record")
	unlock := &cobra.Command{
		Use: "unlock EMAIL|SUBJECT", Short: "let somebody in again", Args: oneArg, Example: "  sluice users unlock ada@example.com",
		RunE: func(c *cobra.Command, args []string) error {
			var u api.User
			if err := a.call(c.Context(), addr, http.MethodPost, api.UserUnlockPath, api.UserLock{Name: args[0], Reason: why}, &u); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.err, "unlocked %s\n", clean(u.Name))
			return err
		},
	}
	unlock.Flags().StringVar(&why, "reason", "", "why, for the record")
	c.AddCommand(ls, lock, unlock)
	return c
}
