package cmd

import (
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
)

// workloadConfig says which jobs an issuer vouches for, and what they may do.
type workloadConfig struct {
	Issuer   string   `yaml:"issuer"`   // of the tokens: exact
	Audience string   `yaml:"audience"` // what the tokens must be made for
	When     string   `yaml:"when"`     // CEL on claims: which jobs are meant
	Groups   []string `yaml:"groups"`   // of the jobs
	Name     string   `yaml:"name"`     // what they are called, with claims in braces; default {sub}
	TTL      duration `yaml:"ttl"`      // of a certificate; default and most 15m
}

func (w workloadConfig) workload() identity.WorkloadConfig {
	return identity.WorkloadConfig{Issuer: w.Issuer, Audience: w.Audience, When: w.When, Groups: w.Groups, Name: w.Name, TTL: time.Duration(w.TTL)}
}

// checkWorkloads finds what would let in nobody, or too many.
func (c *gatewayConfig) checkWorkloads(s *sheet) {
	for i, w := range c.Workloads {
		path := fmt.Sprintf("workloads[%d]", i)
		u, err := url.Parse(w.Issuer)
		switch {
		case w.Issuer == "":
			s.sayAt(path+".issuer", "workload %d needs an issuer, such as https://token.actions.githubusercontent.com", i+1)
		case err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && local(u.Hostname())):
			s.sayAt(path+".issuer", "issuer is %q, must be a URL with https", short(w.Issuer, 60))
		}
		if w.Audience != "" && w.Audience == c.OIDC.ClientID {
			s.sayAt(path+".audience", "audience is the client_id that people log in with; give jobs one of their own, such as sluice://gateway.example.com")
		}
		for key, flaws := range identity.CheckWorkload(w.workload()) {
			for _, f := range flaws {
				s.SayInside(path+"."+key, f.Line, "%s", f.Text)
			}
		}
	}
}

// openStanding opens what a gateway knows of callers beyond their certificates. The
// record is open by then, and with it nobody else has the data directory.
func (a *app) openStanding(cfg houseConfig, gc *gateway.Config) (err error) {
	path := filepath.Join(cfg.dir, "standing.json")
	if gc.Standing, err = identity.OpenStanding(path, a.now); err != nil {
		return tell(exitError, "bring "+path+" back from a backup; to begin without locks and tokens, move it away", "who is locked cannot be told: %v", err)
	}
	if len(cfg.workloads) == 0 {
		return nil
	}
	gc.Workloads, err = identity.NewWorkloads(cfg.workloads, gc.ClientID, nil, a.now)
	return err
}
