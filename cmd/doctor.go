package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
)

// Clocks that differ: certificates and tokens bear a minute, and nothing works beyond a
// few.
const (
	skewWarning = 30 * time.Second
	skewProblem = 2 * time.Minute
)

// doctorTime bounds one check; a network that drops packets would take minutes.
const doctorTime = 10 * time.Second

// finding is the outcome of one check.
type finding struct {
	Check    string `json:"check"`
	State    string `json:"state"` // ok, warning or problem
	Sentence string `json:"sentence"`
	Hint     string `json:"hint,omitempty"`
}

// The states of a finding.
const (
	stateOK      = "ok"
	stateWarning = "warning"
	stateProblem = "problem"
)

// diagnosis collects findings.
type diagnosis struct {
	list []finding
}

func (d *diagnosis) ok(check, format string, args ...any) {
	d.list = append(d.list, finding{Check: check, State: stateOK, Sentence: fmt.Sprintf(format, args...)})
}

func (d *diagnosis) warn(check, hint, format string, args ...any) {
	d.list = append(d.list, finding{check, stateWarning, fmt.Sprintf(format, args...), hint})
}

func (d *diagnosis) wrong(check, hint, format string, args ...any) {
	d.list = append(d.list, finding{check, stateProblem, fmt.Sprintf(format, args...), hint})
}

// failed is wrong with an error that has its own sentence and hint, or else these.
func (d *diagnosis) failed(check string, err error, hint string) {
	sentence, own, _ := explainError(err)
	if own != "" {
		hint = own
	}
	d.wrong(check, hint, "%s", sentence)
}

// clock judges how far another clock is ahead of ours.
func (d *diagnosis) clock(check, whose string, ahead time.Duration) {
	how := "ahead of"
	if ahead < 0 {
		how = "behind"
	}
	const hint = "set this machine's clock, best by NTP; if it is right, the other one's"
	switch off := ahead.Abs().Round(time.Second); {
	case off >= skewProblem:
		d.wrong(check, hint, "the clock of %s is %s %s this machine's: logins and certificates will be refused", whose, howlong.Text(off), how)
	case off >= skewWarning:
		d.warn(check, hint, "the clock of %s is %s %s this machine's", whose, howlong.Text(off), how)
	default:
		d.ok(check, "the clock of %s agrees with this machine's", whose)
	}
}

func (a *app) doctorCommand() *cobra.Command {
	var f format
	var config string
	c := &cobra.Command{
		Use: "doctor [GATEWAY]", Short: "say what is wrong, here or on the gateway", Args: atMostOne,
		Long: `Look at everything between you and the databases, one after the other, and say in
words what is wrong and what to do. Without --config it looks from the side of a
person: address, port, certificate, clocks, version, identity provider, login. With
--config, on the gateway's machine, it looks at that: the file, the policy, the data
directory, the record, the provider, every database as the gateway's own user, and all
else that the file names: exports, witnesses, webhooks, issuers of jobs, metrics, keys.

Nothing is changed, and nothing is sent to any of them. The exit code is 1 if something is wrong; a warning is not.`,
		Example: "  sluice doctor\n  sluice doctor gateway.example.com -o json\n  sluice doctor --config gateway.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			d := &diagnosis{}
			switch {
			case config != "" && len(args) > 0:
				return usageError{errors.New("give the address of a gateway, or its configuration with --config")}
			case config != "":
				a.examineGateway(c.Context(), d, config)
			default:
				addr := ""
				if len(args) == 1 {
					addr = args[0]
				}
				a.examineClient(c.Context(), d, addr)
			}
			return a.printDiagnosis(f, d)
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration file of the gateway on this machine")
	addFormat(c, &f, "text", "json", "csv")
	return c
}

func (a *app) printDiagnosis(f format, d *diagnosis) error {
	count := func(state string) (n int) {
		for _, one := range d.list {
			if one.State == state {
				n++
			}
		}
		return n
	}
	if f.name == "text" {
		for _, one := range d.list {
			color := map[string]string{stateOK: "32", stateWarning: "33", stateProblem: "31"}[one.State]
			if _, err := fmt.Fprintf(a.out, "%s  %-12s %s\n", a.paintOut(color, fmt.Sprintf("%-7s", one.State)), one.Check, clean(one.Sentence)); err != nil {
				return err
			}
			if one.Hint != "" && one.State != stateOK {
				if _, err := fmt.Fprintf(a.out, "%-22s %s %s\n", "", a.paintOut("36", "hint:"), clean(one.Hint)); err != nil {
					return err
				}
			}
		}
	} else {
		t := table{head: []string{"CHECK", "STATE", "SENTENCE", "HINT"}, value: append([]finding{}, d.list...)}
		for _, one := range d.list {
			t.rows = append(t.rows, []string{one.Check, one.State, one.Sentence, one.Hint})
		}
		if err := f.print(a.out, t); err != nil {
			return err
		}
	}
	if n := count(stateProblem); n > 0 {
		return exitStatus{exitError}
	}
	if f.name == "text" {
		all := "all is well"
		if n := count(stateWarning); n > 0 {
			all = fmt.Sprintf("nothing is broken; warnings: %d", n)
		}
		fmt.Fprintln(a.err, all)
	}
	return nil
}

// provider looks at the identity provider. It gives false if nothing more can be said.
func (a *app) examineProvider(ctx context.Context, d *diagnosis, p client.Provider) (client.Discovery, bool) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	found, err := client.Discover(ctx, p.Issuer, a.now)
	if err != nil {
		d.failed("issuer", providerError(p.Issuer, err), "")
		return found, false
	}
	if found.Keys == 0 {
		d.wrong("issuer", "look at its configuration: nothing it says can be verified", "the identity provider %s has no keys to sign with", p.Issuer)
		return found, false
	}
	d.ok("issuer", "the identity provider %s answers", p.Issuer)
	d.clock("issuer clock", "the identity provider", found.Ahead)
	if err := client.KnowsClient(ctx, found, p); err != nil {
		d.wrong("client id", "register it there as a public (native) client with the redirect http://127.0.0.1/callback, any port, and PKCE; or correct oidc.client_id and oidc.scopes",
			"the identity provider does not take logins of the client %q, which is also the audience of its tokens: %v", p.ClientID, err)
	} else {
		d.ok("client id", "the identity provider takes logins of the client %q, which is also the audience of its tokens", p.ClientID)
	}
	if known := found.Scopes; len(p.Scopes) == 0 && len(known) > 0 && !slices.Contains(known, "offline_access") {
		d.warn("renewal", "allow offline_access there, or set oidc.scopes", "the identity provider does not offer refresh tokens by the usual scope, so logins may end with their certificate")
	}
	return found, true
}
