package cmd

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/policy"
)

func (a *app) policyCommand() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "the rules that decide", Args: noSuch, RunE: group}
	c.AddCommand(a.policyShowCommand(), a.policyStatusCommand(), a.policyCheckCommand(), a.policyTestCommand(), a.policyReplayCommand())
	return c
}

func (a *app) policyShowCommand() *cobra.Command {
	var addr string
	var source bool
	var f format
	c := &cobra.Command{
		Use: "show", Short: "print the built-in policy or, with --gateway, the one in force there", Args: noArgs,
		Example: "  sluice policy show > policy.yaml\n  sluice policy show --gateway gateway.example.com",
		RunE: func(c *cobra.Command, _ []string) error {
			p := api.Policy{Source: "built-in", Text: policy.BuiltinYAML()}
			sum := sha256.Sum256([]byte(p.Text))
			p.Hash = hex.EncodeToString(sum[:])
			if addr != "" {
				if err := a.call(c.Context(), addr, http.MethodGet, api.PolicyPath, nil, &p); err != nil {
					return err
				}
			}
			switch {
			case f.name == "json":
				return f.print(a.out, table{value: p})
			case source:
				_, err := fmt.Fprintf(a.out, "%s sha256:%s\n", clean(p.Source), clean(p.Hash))
				return err
			}
			_, err := fmt.Fprint(a.out, p.Text)
			return err
		},
	}
	c.Flags().BoolVar(&source, "source", false, "print only where the policy comes from, and its hash")
	a.addGateway(c, &addr)
	addFormat(c, &f, "text", "json")
	return c
}

// policyChecked is what policy check prints with -o json.
type policyChecked struct {
	OK       bool            `json:"ok"`
	Rules    int             `json:"rules"` // the built-in ones among them
	Problems []policyProblem `json:"problems"`
}

type policyProblem struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

func (a *app) policyCheckCommand() *cobra.Command {
	var f format
	c := &cobra.Command{
		Use: "check FILE", Short: "find what is wrong with a policy file", Args: oneArg,
		Long: `Find what is wrong with a policy file: keys, names, types, time zones, rules that could
never do what they say. docs/policy.md lists what rules may speak of.`,
		Example: "  sluice policy check policy.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return tell(exitUsage, "check the path", "the policy cannot be read: %v", err)
			}
			rules, err := policy.Load(args[0], data)
			var bad *policy.LoadError
			if err != nil && !errors.As(err, &bad) {
				return err
			}
			return a.printChecked(f, args[0], rules, bad)
		},
	}
	addFormat(c, &f, "table", "json", "csv")
	return c
}

// positive is a line or column; not every problem has one.
func positive(n int) string {
	if n < 1 {
		return ""
	}
	return strconv.Itoa(n)
}

func (a *app) printChecked(f format, file string, rules *policy.Rules, bad *policy.LoadError) error {
	v := policyChecked{OK: bad == nil, Problems: []policyProblem{}}
	t := table{head: []string{"line", "column", "problem"}}
	if bad != nil {
		for _, p := range bad.Problems {
			v.Problems = append(v.Problems, policyProblem{p.Line, p.Column, p.Text})
			t.rows = append(t.rows, []string{positive(p.Line), positive(p.Column), p.Text})
		}
	} else {
		v.Rules = len(rules.List)
	}
	t.value = v
	if bad == nil && f.name == "table" {
		_, err := fmt.Fprintf(a.out, "ok: %d rules, the built-in ones included\n", v.Rules)
		return err
	}
	if err := f.print(a.out, t); err != nil || bad == nil {
		return err
	}
	return tell(exitError, "mend the file and check it again", "%s does not hold: %d to mend", file, len(v.Problems))
}
