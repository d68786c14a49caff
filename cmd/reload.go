package cmd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
)

const (
	// lookEvery is how often the policy file is looked at: one stat. What is found must
	// be there twice before it counts, so that a file that is being written is not read
	// half; a change is in force after two looks, well within a second.
	lookEvery = 200 * time.Millisecond
	// restless is how old a file must be before an unchanged time stamp is believed:
	// file systems keep them in steps, and two writes may fall into one.
	restless = 2 * time.Second
)

// policyFile keeps the policy of a gateway as its file is. It looks at what the path
// leads to, so that a file that is replaced, as editors do, or reached over a link that
// is replaced, as Kubernetes does with its volumes, is noticed as one that is written.
type policyFile struct {
	path    string
	gateway *gateway.Gateway
	hup     <-chan os.Signal // read it now; nil if nobody asks
	taken   func() error     // after a new policy came into force; may be nil
	now     func() time.Time

	seen    offered     // what was judged last
	pending *offered    // seen once, not yet judged
	stamp   os.FileInfo // of the file when it was last read
	read    time.Time
}

// offered is what was found in place of a policy.
type offered struct {
	text string
	err  string // why it could not be read
}

// follow looks at the file until ctx is done. It fails only if the record does.
func (f *policyFile) follow(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-f.hup:
			err = f.judge(f.look(), "SIGHUP")
		case <-tick.C:
			err = f.glance()
		}
		if err != nil {
			return err
		}
	}
}

// glance judges what the file holds if it is new and the same as a moment ago.
func (f *policyFile) glance() error {
	if f.pending == nil && f.untouched() {
		return nil
	}
	now := f.look()
	switch {
	case now == f.seen:
		f.pending = nil
	case f.pending == nil || *f.pending != now:
		f.pending = &now
	default:
		return f.judge(now, "file changed")
	}
	return nil
}

// untouched reports whether the file need not be read again.
func (f *policyFile) untouched() bool {
	info, err := os.Stat(f.path)
	return err == nil && f.stamp != nil && os.SameFile(info, f.stamp) && info.Size() == f.stamp.Size() &&
		info.ModTime().Equal(f.stamp.ModTime()) && f.read.Sub(info.ModTime()) > restless
}

func (f *policyFile) look() offered {
	f.read = f.now()
	info, err := os.Stat(f.path)
	if err != nil {
		f.stamp = nil
		return offered{err: "it cannot be read: " + reason(err)}
	}
	f.stamp = info
	data, err := os.ReadFile(f.path)
	if err != nil {
		return offered{err: "it cannot be read: " + reason(err)}
	}
	return offered{text: string(data)}
}

// judge puts in force what was offered, or says why not.
func (f *policyFile) judge(o offered, cause string) error {
	f.seen, f.pending = o, nil
	rules, why := o.rules(f.path)
	if why != nil {
		return f.gateway.RefusePolicy(f.path, o.text, why, cause)
	}
	if err := f.gateway.SetPolicy(gateway.Policy{Rules: rules, Source: f.path, Text: o.text}, cause); err != nil {
		return err
	}
	if f.taken != nil {
		return f.taken()
	}
	return nil
}

// rules compiles what was offered. While a gateway runs an empty file is more likely
// to be the leavings of a full disk than somebody's wish to be without rules of their own.
func (o offered) rules(path string) (*policy.Rules, error) {
	switch {
	case o.err != "":
		return nil, errors.New(o.err)
	case o.text == "":
		return nil, errors.New("it is empty; for the built-in rules alone write: rules: []")
	}
	return policy.Load(filepath.Base(path), []byte(o.text))
}
