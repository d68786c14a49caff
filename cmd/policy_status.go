package cmd

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
)

// policyStatus is what policy status prints with -o json.
type policyStatus struct {
	Source  string             `json:"source"`
	Hash    string             `json:"hash"`
	Since   time.Time          `json:"since,omitzero"`
	Rules   int                `json:"rules"`
	Refused *api.PolicyRefused `json:"refused"` // null if the file is what is in force
}

func (a *app) policyStatusCommand() *cobra.Command {
	var addr string
	var f format
	c := &cobra.Command{
		Use: "status", Short: "which policy is in force at a gateway, and whether a newer file was refused", Args: noArgs,
		Long: `Which policy is in force at a gateway, since when, and whether it found a newer file
that it could not take. Then the exit code is 1, so that a check can watch for it.`,
		Example: "  sluice policy status\n  sluice policy status -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			var p api.Policy
			if err := a.call(c.Context(), addr, http.MethodGet, api.PolicyPath, nil, &p); err != nil {
				return err
			}
			if err := f.print(a.out, statusTable(p)); err != nil || p.Refused == nil {
				return err
			}
			return tell(exitError, "mend the file; sluice policy check finds what is wrong before the gateway does", "the gateway refused a newer policy, and the one above stays in force: %s", cleanLines(p.Refused.Problem))
		},
	}
	a.addGateway(c, &addr)
	addFormat(c, &f, "table", "json", "csv")
	return c
}

func statusTable(p api.Policy) table {
	s := policyStatus{Source: p.Source, Hash: p.Hash, Since: p.Since, Rules: p.Rules, Refused: p.Refused}
	t := table{head: []string{"policy", "source", "since", "rules", "sha256"}, value: s}
	t.rows = append(t.rows, []string{"in force", p.Source, when(p.Since), strconv.Itoa(p.Rules), p.Hash})
	if r := p.Refused; r != nil {
		t.rows = append(t.rows, []string{"refused", p.Source, when(r.At), "", r.Hash})
	}
	return t
}

// when is a moment for people; nothing for one that is not known.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

// cleanLines is clean for text of several lines.
func cleanLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = fmt.Sprintf("%*s%s", len(line)-len(strings.TrimLeft(line, " ")), "", clean(strings.TrimLeft(line, " ")))
	}
	return strings.Join(lines, "\n")
}
