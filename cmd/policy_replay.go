package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/policy"
)

// replayFlags are those of policy replay.
type replayFlags struct {
	policy, against string
	since, until    string
	who, connection string
	addr            string
	record, config  string
	envs            []string
	format          format
}

func (a *app) policyReplayCommand() *cobra.Command {
	var o replayFlags
	c := &cobra.Command{
		Use: "replay --policy FILE", Short: "what a changed policy would have done to the statements of the record", Args: noArgs,
		Long: `Make the decisions of the record again under a changed policy, and say what would
have been otherwise than under the policy in force, or the one given with --against:
by rule, identity and shape of statement. Nothing runs, and nothing changes.

A gateway does it for its auditors. It reads the texts again with today's catalogue of
each database; relations, columns and signs are those that were recorded. With
--record a copy of the record is read without a gateway, and without a catalogue: then
kinds of statements that routines run may be lacking. What cannot be told is counted
and named, not guessed. The built-in policy is called built-in.`,
		Example: "  sluice policy replay --policy new.yaml --since 30d\n  sluice policy replay --policy new.yaml --since 2026-01-01 -o csv\n" +
			"  sluice policy replay --policy new.yaml --config gateway.yaml --record /var/lib/sluice/record",
		RunE: func(c *cobra.Command, _ []string) error { return a.policyReplay(c.Context(), &o) },
	}
	f := c.Flags()
	f.StringVar(&o.policy, "policy", "", "the changed policy")
	f.StringVar(&o.against, "against", "", "the policy to compare with; without it the one in force")
	f.StringVar(&o.since, "since", "30d", "a time ago such as 30d, a day, or a time as RFC 3339")
	f.StringVar(&o.until, "until", "", "as --since")
	f.StringVar(&o.who, "who", "", "name, subject or owner")
	f.StringVar(&o.connection, "connection", "", "name of a connection")
	f.StringVar(&o.record, "record", "", "read the record in this directory instead of asking a gateway")
	f.StringVar(&o.config, "config", "", "with --record: gateway.yaml, for the env of connections and the policy in force")
	f.StringSliceVar(&o.envs, "env", nil, "with --record: env of a connection, as orders=prod")
	a.addGateway(c, &o.addr)
	addFormat(c, &o.format, "table", "json", "csv")
	return c
}

func (a *app) policyReplay(ctx context.Context, o *replayFlags) error {
	if o.policy == "" {
		return usageError{errors.New("--policy is missing: the changed policy")}
	}
	if o.record == "" && (o.config != "" || len(o.envs) > 0) {
		return usageError{errors.New("--config and --env go with --record; a gateway knows its own")}
	}
	in := api.ReplayRequest{Who: o.who, Connection: o.connection}
	var err error
	if in.Since, err = readTime("since", o.since, a.now()); err != nil {
		return err
	}
	if in.Until, err = readTime("until", o.until, a.now()); err != nil {
		return err
	}
	if in.Policy, err = policyFileOf(o.policy); err != nil {
		return err
	}
	if o.against != "" {
		against, err := policyFileOf(o.against)
		if err != nil {
			return err
		}
		in.Against = &against
	}
	var res api.ReplayResult
	if o.record == "" {
		err = a.call(ctx, o.addr, http.MethodPost, api.ReplayPath, in, &res)
	} else {
		res, err = replayRecord(ctx, o, in)
	}
	if err != nil {
		return err
	}
	return a.printReplay(o.format, in, res)
}

// policyFileOf reads a policy and checks it, so that its mistakes are said here.
func policyFileOf(path string) (api.PolicyFile, error) {
	if path == builtIn {
		return api.PolicyFile{Source: path, Text: policy.BuiltinYAML()}, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return api.PolicyFile{}, tell(exitUsage, "check the path", "the policy cannot be read: %v", err)
	}
	if _, err := policy.Load(path, data); err != nil {
		return api.PolicyFile{}, tell(exitUsage, "mend the policy and try again", "%v", err)
	}
	return api.PolicyFile{Source: filepath.Base(path), Text: string(data)}, nil
}

// builtIn is what the policy is called that comes with Sluice.
const builtIn = "built-in"

// replayRecord does without a gateway what one would do, as far as the files tell.
func replayRecord(ctx context.Context, o *replayFlags, in api.ReplayRequest) (api.ReplayResult, error) {
	r := gateway.Replay{Dir: o.record, Envs: map[string]string{},
		Filter: audit.Filter{Since: in.Since, Until: in.Until, Who: in.Who, Connection: in.Connection}}
	if o.config != "" {
		cfg, err := readConfig(o.config)
		if err != nil {
			return api.ReplayResult{}, err
		}
		for _, c := range cfg.Connections {
			r.Envs[c.Name] = c.Env
		}
		if in.Against == nil {
			path := cfg.Policy
			if path == "" {
				path = builtIn
			}
			against, err := policyFileOf(path)
			if err != nil {
				return api.ReplayResult{}, err
			}
			in.Against = &against
		}
	}
	for _, pair := range o.envs {
		name, env, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return api.ReplayResult{}, usageError{fmt.Errorf("--env is %q; write a connection and its env, as orders=prod", pair)}
		}
		r.Envs[name] = env
	}
	if in.Against == nil {
		return api.ReplayResult{}, usageError{errors.New("without a gateway it is not known which policy is in force: give --against FILE, --against built-in, or --config gateway.yaml")}
	}
	var err error
	if r.Policy, err = replayable(in.Policy); err != nil {
		return api.ReplayResult{}, err
	}
	if r.Against, err = replayable(*in.Against); err != nil {
		return api.ReplayResult{}, err
	}
	return r.Run(ctx)
}

func replayable(f api.PolicyFile) (gateway.Policy, error) {
	if f.Source == builtIn {
		return gateway.Policy{Rules: policy.Builtin(), Source: builtIn, Text: f.Text}, nil
	}
	rules, err := policy.Load(f.Source, []byte(f.Text))
	return gateway.Policy{Rules: rules, Source: f.Source, Text: f.Text}, err
}

// printReplay says for people first how much changes, then what, then what is unsure.
func (a *app) printReplay(f format, in api.ReplayRequest, res api.ReplayResult) error {
	t := table{head: []string{"change", "count", "rule before", "rule after", "who", "connection", "event", "statement"}, value: res}
	for _, c := range res.Changes {
		text := c.Example
		if f.name == "table" {
			text = short(text, statementWidth)
		}
		t.rows = append(t.rows, []string{c.What, strconv.FormatUint(c.Count, 10), c.FromRule, c.ToRule, c.Who, c.Connection, c.Event, text})
	}
	if f.name != "table" {
		return f.print(a.out, t)
	}
	fmt.Fprintf(a.out, "%d decisions%s, %s in place of %s: %d the same, %d otherwise", res.Decisions, sinceWhen(in.Since), nameAndHash(res.Policy), nameAndHash(res.Against), res.Same, res.Changed)
	if res.Unsure > 0 {
		fmt.Fprintf(a.out, ", %d that cannot be told", res.Unsure)
	}
	if res.Own > 0 {
		fmt.Fprintf(a.out, ", %d refused by Sluice itself whatever the policy says", res.Own)
	}
	fmt.Fprintln(a.out, ".")
	if err := a.replayTables(t, res); err != nil {
		return err
	}
	if res.Drifted > 0 {
		fmt.Fprintf(a.out, "\n%d were decided by what was recorded: today's tables, views or routines tell it otherwise.\n", res.Drifted)
	}
	return nil
}

func (a *app) replayTables(changes table, res api.ReplayResult) error {
	if len(res.Totals) > 0 {
		totals := table{head: []string{"from", "to", "decisions"}}
		for _, n := range res.Totals {
			totals.rows = append(totals.rows, []string{n.From, n.To, strconv.FormatUint(n.Count, 10)})
		}
		fmt.Fprintln(a.out)
		if err := totals.print(a.out); err != nil {
			return err
		}
		fmt.Fprintln(a.out)
		if err := changes.print(a.out); err != nil {
			return err
		}
	}
	if res.Unlisted > 0 {
		fmt.Fprintf(a.out, "… and %d decisions more in further groups; narrow with --who, --connection or --since.\n", res.Unlisted)
	}
	if len(res.Doubts) == 0 {
		return nil
	}
	doubts := table{head: []string{"cannot be told because", "a rule looks at", "count", "event", "statement"}}
	for _, d := range res.Doubts {
		doubts.rows = append(doubts.rows, []string{d.Why, strings.Join(slices.Sorted(slices.Values(d.Needs)), ", "), strconv.FormatUint(d.Count, 10), d.Event, short(d.Example, statementWidth)})
	}
	fmt.Fprintln(a.out)
	return doubts.print(a.out)
}

func sinceWhen(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + when(t)
}

func nameAndHash(p api.Policy) string {
	return fmt.Sprintf("%s (%.8s)", clean(p.Source), clean(p.Hash))
}
