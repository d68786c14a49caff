package cmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pkg/browser"
	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/howlong"
)

type loginOptions struct {
	ca        string
	pin       string
	noBrowser bool
	device    bool
}

func (a *app) loginCommand() *cobra.Command {
	var o loginOptions
	c := &cobra.Command{
		Use: "login [GATEWAY]", Short: "log in with your identity provider", Args: atMostOne,
		Long: `Log in at a gateway. Your browser opens the identity provider; the gateway then
gives a certificate for a key that is made here and never leaves this machine.
Without GATEWAY the one last logged in to is used.

On a machine without a browser you get a code, and a picture of it for a telephone's
camera, to log in with elsewhere; --device asks for that where there is a browser.

While the identity provider agrees, the login is renewed by itself when it is near its
end: by sluice connect while it runs, by every other command when it is called.`,
		Example: "  sluice login gateway.example.com\n  sluice login gateway.example.com --device\n  sluice login gateway.example.com --ca-pin sha256:0123…",
		RunE: func(c *cobra.Command, args []string) error {
			addr := ""
			if len(args) == 1 {
				addr = args[0]
			}
			return a.login(c.Context(), addr, o)
		},
	}
	c.Flags().StringVar(&o.ca, "ca", "", "PEM file of the authority above the gateway's certificate")
	c.Flags().StringVar(&o.pin, "ca-pin", "", "fingerprint that the gateway printed when it started: trust it alone, without asking")
	c.Flags().BoolVar(&o.noBrowser, "no-browser", false, "only print the address to open, in a browser of this machine")
	c.Flags().BoolVar(&o.device, "device", false, "log in with a code in a browser elsewhere")
	c.MarkFlagsMutuallyExclusive("device", "no-browser")
	c.MarkFlagsMutuallyExclusive("ca", "ca-pin")
	return c
}

func (a *app) login(ctx context.Context, addr string, o loginOptions) error {
	store := a.store()
	if addr == "" {
		have, err := store.Look("")
		if err != nil {
			return tell(exitUsage, "for example: sluice login gateway.example.com", "which gateway? none was used before")
		}
		addr = have.Gateway
	}
	opt := client.LoginOptions{
		Gateway: addr, Store: store, Out: a.err, Pin: o.pin, Trust: a.trust(), OpenBrowser: a.openBrowser(o),
		Device: o.device, Headless: !o.noBrowser && a.headless(), ShowDevice: a.showDevice,
	}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return tell(exitUsage, "check the path given with --ca", "the authority cannot be read: %v", err)
		}
		opt.CAFile = pem
	}
	who, err := client.Login(ctx, opt)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "logged in as %s until %s; see what you may use: sluice ls\n", clean(who.Name()), who.Expires.Local().Format("Mon 15:04"))
	return nil
}

// openBrowser shows the address, and opens it if it may. The person can always open
// it by hand.
func (a *app) openBrowser(o loginOptions) func(string) error {
	return func(url string) error {
		fmt.Fprintf(a.err, "open this address to log in, if your browser does not:\n\n  %s\n\n", url)
		if o.noBrowser {
			return nil
		}
		browser.Stdout, browser.Stderr = io.Discard, io.Discard
		// It blocks on some systems until the browser is closed; that it failed shows
		// by nothing happening, and the address is there to use.
		go func() { _ = browser.OpenURL(url) }()
		return nil
	}
}

// trust asks, at the first contact, whether the gateway is the right one.
func (a *app) trust() func(string) error {
	return func(fingerprint string) error {
		if !a.terminal {
			return tell(exitUsage, "give it with --ca-pin, or its authority with --ca", "this gateway was never used from here, and its fingerprint is not known")
		}
		fmt.Fprintf(a.err, "This gateway was never used from here. Compare with what it printed at its start:\n\n  %s\n\nIs it the same? [y/N] ", fingerprint)
		line, err := bufio.NewReader(a.in).ReadString('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
			return tell(exitError, "ask whoever runs the gateway for its fingerprint", "not trusted, so nothing was sent")
		}
		return nil
	}
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logout [GATEWAY]", Short: "forget the credentials kept here", Args: atMostOne, Example: "  sluice logout",
		RunE: func(_ *cobra.Command, args []string) error {
			store, addr := a.store(), ""
			if len(args) == 1 {
				addr = args[0]
			}
			have, err := store.Look(addr)
			if err != nil {
				return err
			}
			if err := store.Forget(have.Gateway); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "logged out of %s\n", have.Gateway)
			return nil
		},
	}
}

// whoami is what is known of the caller without asking anyone.
type whoami struct {
	Subject string    `json:"subject"`
	Email   string    `json:"email,omitempty"`
	Groups  []string  `json:"groups"`
	Kind    string    `json:"kind"`
	Gateway string    `json:"gateway"`
	Expires time.Time `json:"expires"`
	Valid   bool      `json:"valid"`
}

func (a *app) whoamiCommand() *cobra.Command {
	var f format
	var addr string
	c := &cobra.Command{
		Use: "whoami", Short: "who you are to the gateway", Args: noArgs, Example: "  sluice whoami -o json",
		RunE: func(*cobra.Command, []string) error {
			have, err := a.store().Look(addr)
			if err != nil {
				return err
			}
			who := have.Identity
			w := whoami{Subject: who.Subject, Email: who.Email, Groups: append([]string{}, who.Groups...), Kind: string(who.Kind), Gateway: have.Gateway, Expires: who.Expires, Valid: who.Valid(a.now())}
			row := []string{who.Name(), w.Kind, strings.Join(w.Groups, ","), w.Gateway, a.until(who)}
			return f.print(a.out, table{head: []string{"WHO", "KIND", "GROUPS", "GATEWAY", "LOGIN"}, rows: [][]string{row}, value: w})
		},
	}
	a.addGateway(c, &addr)
	addFormat(c, &f, "table", "json", "csv")
	return c
}

func (a *app) until(who identity.Identity) string {
	if !who.Valid(a.now()) {
		return "expired; run: sluice login"
	}
	return "good for " + howlong.Text(who.Expires.Sub(a.now()).Round(time.Minute))
}
