//go:build unix

// Command bench measures what a connection through Sluice costs beside the ways
// people use today: PostgreSQL itself, PgBouncer with TLS, and ssh -L, or beside
// another build of itself (-before). Everything runs in real processes on this
// machine, all targets take turns within each round, and what counts is the ratio to
// the direct connection of the same round and the CPU of the processes in between.
//
// Whatever it starts it ends, and its files lie in one temporary directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	only    []string // beginnings of workload names; all if empty
	targets []string // names; all that can be had if empty
	rounds  int
	secs    int    // per pgbench run
	scale   int    // of pgbench's tables, 100,000 rows each
	idle    int    // connections held open to weigh one
	before  string // another build of sluice, to be measured beside this one; "" is none
	quick   bool
	list    bool
	format  string
	write   string // Markdown file whose table is replaced
}

func readOptions(args []string, stderr io.Writer) (options, error) {
	o := options{}
	var only, targets string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&only, "only", "", "comma-separated workloads, by how their names begin")
	f.StringVar(&targets, "targets", "", "comma-separated targets: direct, pgbouncer, ssh, before, sluice (direct is always measured)")
	f.IntVar(&o.rounds, "rounds", 3, "rounds; all targets take turns within each")
	f.IntVar(&o.secs, "secs", 4, "seconds of a pgbench run")
	f.IntVar(&o.scale, "scale", 10, "pgbench scale: 100,000 rows each")
	f.IntVar(&o.idle, "idle", 500, "connections opened to weigh an idle one")
	f.StringVar(&o.before, "before", "", "another build of sluice, measured beside this one as the target of that name")
	f.BoolVar(&o.quick, "quick", false, "fewer workloads, 2 rounds of 2 seconds")
	f.BoolVar(&o.list, "list", false, "list the workloads")
	f.StringVar(&o.format, "o", "md", "output: md or json")
	f.StringVar(&o.write, "write", "", "Markdown file in which the tables between the markers are replaced")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	set := map[string]bool{}
	f.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if o.quick && !set["rounds"] {
		o.rounds = 2
	}
	if o.quick && !set["secs"] {
		o.secs = 2
	}
	o.only, o.targets = words(only), words(targets)
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q; see -help", f.Arg(0))
	case o.rounds < 1 || o.secs < 1 || o.scale < 1 || o.idle < 1:
		return o, errors.New("-rounds, -secs, -scale and -idle are at least 1")
	case o.format != "md" && o.format != "json":
		return o, fmt.Errorf("-o is %q, must be md or json", o.format)
	}
	return o, nil
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := readOptions(args, stderr)
	if err != nil {
		return err
	}
	if o.list {
		for _, w := range workloads(o) {
			fmt.Fprintln(stdout, w.name)
		}
		return nil
	}
	chosen, err := choose(workloads(o), o)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	r := &results{Machine: about(), Date: time.Now().UTC(), Rounds: o.rounds, Secs: o.secs, Samples: map[string]map[string][]sample{}}
	for _, t := range w.targets {
		r.Targets = append(r.Targets, t.name)
	}
	for _, load := range chosen {
		if err := w.measure(ctx, load, r); err != nil {
			return err
		}
	}
	return deliver(r, o, stdout)
}

// choose picks the workloads that -only and -quick leave.
func choose(all []workload, o options) ([]workload, error) {
	var out []workload
	for _, w := range all {
		begins := func(word string) bool { return strings.HasPrefix(w.name, word) }
		if slices.ContainsFunc(o.only, begins) || len(o.only) == 0 && (w.quick || !o.quick) {
			out = append(out, w)
		}
	}
	for _, word := range o.only {
		if !slices.ContainsFunc(all, func(w workload) bool { return strings.HasPrefix(w.name, word) }) {
			return nil, fmt.Errorf("no workload begins with %q; -list shows them", word)
		}
	}
	return out, nil
}
