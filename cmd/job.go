package cmd

import (
	"context"
	"regexp"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
)

// addTokenFile gives a command the flag that names a job's token.
func addTokenFile(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "token-file", "", "in a job: file with the token of its issuer, read again for each certificate")
}

// withToken does something with a gateway: as the job whose token was given by name;
// else as the person who is logged in; else as the job that this system says it is.
// tell is told that a person's login will end.
func (a *app) withToken(ctx context.Context, addr, tokenFile string, tell func(sentence, hint string), do func(*client.Gateway) error) error {
	if addr == "" {
		addr = a.env(client.EnvGateway)
	}
	gw, err := a.openGateway(ctx, addr, tokenFile)
	if err != nil {
		return err
	}
	defer gw.Close()
	kept, stop := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() { gw.Keep(kept, tell) })
	defer keeper.Wait()
	defer stop()
	return do(gw)
}

func (a *app) openGateway(ctx context.Context, addr, tokenFile string) (*client.Gateway, error) {
	token := client.Explicit(a.env, tokenFile)
	if token == nil {
		gw, err := client.Open(ctx, a.store(), addr)
		if e, ok := api.AsError(err); !ok || e.Code != api.CodeNotLoggedIn {
			return gw, err
		}
		if token = client.FindAmbient(a.env, client.ClusterToken); token == nil {
			return nil, err
		}
	}
	if addr == "" {
		return nil, tell(exitUsage, "set "+client.EnvGateway+" to its address, or give --gateway", "this job has a token from %s, but which gateway is it for?", token.From)
	}
	trust, err := a.jobTrust(addr)
	if err != nil {
		return nil, err
	}
	return client.OpenJob(ctx, client.JobOptions{Gateway: addr, Ambient: token, Audience: a.env(client.EnvAudience), Trust: trust, Now: a.now})
}

var fingerprintForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// jobTrust says how a job recognises the gateway: by the pin it was given, else as a
// person did here before, else by a public authority.
func (a *app) jobTrust(addr string) (client.Trust, error) {
	pin := a.env(client.EnvPin)
	if pin == "" {
		if have, err := a.store().Load(addr); err == nil {
			return have.Trust, nil
		}
		return client.Trust{System: true}, nil
	}
	if !fingerprintForm.MatchString(pin) {
		return client.Trust{}, tell(exitUsage, "copy what the gateway printed when it started: sha256: and 64 hex digits", "%s is no fingerprint", client.EnvPin)
	}
	return client.Trust{Pin: pin}, nil
}
