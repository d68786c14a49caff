// Package cmd is what a person types: one file per command, flags and files read
// and handed down, errors turned into a sentence, a hint and an exit code. Data
// goes to standard output, everything else to standard error.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/internal/howlong"
	"github.com/sluicehq/sluice/wire/postgres"
)

// Exit codes, the same for every command.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitRefused     = 3
	exitNotApproved = 4
	exitNotLoggedIn = 5
)

// version is set by the linker at a release; else it comes from the build itself.
var version = ""

// app is what commands share: the streams they talk to, the clock and where the
// person's files lie. It is made once, in Main, and read only.
type app struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // standard output and input are one
	color    bool
	colorOut bool // standard output is a terminal that shows colours
	env      func(string) string
	now      func() time.Time
	keyring  client.Keyring // nil for none
}

// usageError is a mistake in how a command was called.
type usageError struct{ error }

// exitError is how a program that a command ran has ended.
type exitStatus struct{ code int }

func (e exitStatus) Error() string { return fmt.Sprintf("the command ended with status %d", e.code) }

// tune sets what the Go runtime takes for a process of its own; its environment
// variables go before that.
//
// The goroutines of a client's tunnel have little to do and wait for one another: on
// one processor they take less time, bulk included, than handed over between two.
func tune(args []string) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" && len(args) > 0 && (args[0] == "connect" || args[0] == "run") {
		runtime.GOMAXPROCS(1)
	}
}

// endings are the signals that end a command. A gateway has no terminal to lose: to it
// SIGHUP says that its policy is to be read again.
func endings(args []string) []os.Signal {
	if len(args) > 0 && args[0] == "gateway" {
		return []os.Signal{os.Interrupt, syscall.SIGTERM}
	}
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
}

// gcPercent lets the heap grow to four times what is alive: the gateway and the
// client keep little alive, and collect it a tenth of their time at the default.
const gcPercent = 300

// Main runs the command line and returns the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), endings(os.Args[1:])...)
	defer stop()
	tune(os.Args[1:])
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, now: time.Now}
	if os.Getenv("SLUICE_KEYRING") != "off" {
		a.keyring = client.SystemKeyring{}
	}
	a.terminal = isTerminal(os.Stdin) && isTerminal(os.Stdout)
	colors := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	a.color, a.colorOut = colors && isTerminal(os.Stderr), colors && isTerminal(os.Stdout)
	return a.run(ctx, os.Args[1:])
}

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var ended exitStatus
	if errors.As(err, &ended) {
		return ended.code
	}
	return a.report(err, c)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "an access broker for databases",
		Long: `Sluice stands between people, jobs and agents and the databases they use. It
knows who asks and what a statement would do; it refuses what is reckless, holds
what is risky until a person approves it, masks personal data in what leaves, and
keeps a record that cannot be changed unseen.

Exit codes: 0 ok, 1 error, 2 usage, 3 refused by policy, 4 held and not approved
in time, 5 not logged in.`,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs, RunE: overview,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(a.commands()...)
	sayDefaults(root)
	return root
}

// sayDefaults has help say what durations are without a flag as people write them.
func sayDefaults(c *cobra.Command) {
	say := func(f *pflag.Flag) {
		if d, err := time.ParseDuration(f.DefValue); err == nil && d != 0 && f.Value.Type() == "duration" {
			f.DefValue = howlong.Text(d)
		}
	}
	c.Flags().VisitAll(say)
	c.PersistentFlags().VisitAll(say)
	for _, sub := range c.Commands() {
		sayDefaults(sub)
	}
}

// overview is what sluice does without a command it knows: it helps, or says which
// was probably meant.
func overview(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	var words []string
	for _, sub := range c.Commands() {
		words = append(words, sub.Name())
	}
	if near := nearest(args[0], words); near != "" {
		return usageError{fmt.Errorf("unknown command %q, did you mean %q?", args[0], near)}
	}
	return usageError{fmt.Errorf("unknown command %q", args[0])}
}

// report prints an error of a command as a sentence and a hint, and gives its exit code.
func (a *app) report(err error, c *cobra.Command) int {
	sentence, hint, code := explainError(err)
	if hint == seeHelp && c != nil && c.HasParent() {
		hint = "see: " + c.CommandPath() + " --help"
	}
	fmt.Fprintln(a.err, a.paint("31", "error:"), sentence)
	if hint != "" {
		fmt.Fprintln(a.err, a.paint("36", "hint:"), hint)
	}
	return code
}

// seeHelp is the hint to whoever used a command wrongly.
const seeHelp = "see: sluice help"

func explainError(err error) (sentence, hint string, code int) {
	var usage usageError
	var login *postgres.Login
	var told *told
	switch e, ok := api.AsError(err); {
	case ok:
		return e.Sentence, e.Hint, e.Code
	case errors.As(err, &told):
		return told.sentence, told.hint, told.code
	case errors.As(err, &usage):
		return usage.Error(), seeHelp, exitUsage
	case errors.As(err, &login):
		return login.Say.Message, login.Say.Hint, exitError
	case errors.Is(err, context.Canceled):
		return "interrupted", "", exitError
	}
	return err.Error(), "", exitError
}

// told is an error made here, with what to do next.
type told struct {
	sentence, hint string
	code           int
	cause          error
}

func (t *told) Error() string { return t.sentence }
func (t *told) Unwrap() error { return t.cause }

func tell(code int, hint, format string, args ...any) error {
	return &told{sentence: fmt.Sprintf(format, args...), hint: hint, code: code}
}

// paint colours text for standard error, if that is a terminal.
func (a *app) paint(code, text string) string { return painted(a.color, code, text) }

// paintOut colours text for standard output, if that is a terminal.
func (a *app) paintOut(code, text string) string { return painted(a.colorOut, code, text) }

func painted(colors bool, code, text string) string {
	if !colors {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// buildVersion is the version of this binary.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// store is where this person's credentials lie: $SLUICE_HOME, else the system's
// place for configuration.
func (a *app) store() *client.Store {
	s := client.NewStore(a.env("SLUICE_HOME"), a.now)
	s.Keyring, s.Warn = a.keyring, a.notice
	return s
}
