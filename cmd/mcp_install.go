package cmd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/agentconf"
)

type installFlags struct {
	want    api.TokenRequest
	addr    string
	books   string // directory with runbooks
	name    string
	file    string
	project bool
	print   bool
}

// flags are those that say where the entry is.
func (o *installFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.name, "name", "sluice", "what the server is called in the client")
	f.BoolVar(&o.project, "project", false, "in the configuration of the project in this directory, not in your own")
	f.StringVar(&o.file, "file", "", "the configuration file, if it is elsewhere")
	f.BoolVar(&o.print, "print", false, "show what would change, and change nothing")
}

func (a *app) mcpInstallCommand() *cobra.Command {
	var o installFlags
	c := &cobra.Command{
		Use: "install CLIENT", Short: "put sluice mcp into the configuration of an agent's client", Args: oneArg, ValidArgs: clientNames(),
		Long: fmt.Sprintf(`Put sluice mcp into the configuration of an agent's client: %s.

Only that entry changes: other settings, comments and spacing stay, what was there is
kept in a file beside it, and the change is shown. A file that cannot be understood is
left alone. No secret is written: the agent acts for whoever is logged in when the
client starts it. sluice mcp uninstall takes the entry out again.`, strings.Join(clientNames(), ", ")),
		Example: "  sluice mcp install claude-code\n  sluice mcp install cursor --project --connection orders\n  sluice mcp install vscode --print",
		RunE:    func(_ *cobra.Command, args []string) error { return a.mcpInstall(args[0], o) },
	}
	f := c.Flags()
	f.StringVar(&o.want.Name, "agent", "", "what the agent is called in the record; the client's name if it is left out")
	f.StringSliceVar(&o.want.Connections, "connection", nil, "connections it may use; without any all of yours")
	f.StringSliceVar(&o.want.Groups, "groups", nil, "only these of your groups")
	f.BoolVar(&o.want.Writes, "writes", false, "it may change data, as far as the policy lets it")
	f.StringVar(&o.books, "runbooks", "", "directory with runbooks that it may run")
	a.addGateway(c, &o.addr)
	o.flags(c)
	return c
}

func (a *app) mcpUninstallCommand() *cobra.Command {
	var o installFlags
	c := &cobra.Command{
		Use: "uninstall CLIENT", Short: "take sluice mcp out of the configuration of an agent's client", Args: oneArg, ValidArgs: clientNames(),
		Long:    "Take the entry that sluice mcp install made out of a client's configuration. All else stays.",
		Example: "  sluice mcp uninstall claude-code",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.configure(args[0], o, func(c agentconf.Client, text []byte) ([]byte, error) { return c.Remove(text, o.name) })
		},
	}
	o.flags(c)
	return c
}

func clientNames() (names []string) {
	for _, c := range agentconf.Clients() {
		names = append(names, c.Name)
	}
	return names
}

func (a *app) mcpInstall(name string, o installFlags) error {
	if _, _, err := a.clientFile(name, o); err != nil {
		return err
	}
	program, err := thisProgram()
	if err != nil {
		return err
	}
	if o.want.Name == "" {
		o.want.Name = name
	}
	args := []string{"mcp", "--agent", o.want.Name}
	for _, conn := range o.want.Connections {
		args = append(args, "--connection", conn)
	}
	for _, group := range o.want.Groups {
		args = append(args, "--groups", group)
	}
	if o.want.Writes {
		args = append(args, "--writes")
	}
	if o.books != "" {
		dir, err := filepath.Abs(o.books) // the client starts it elsewhere
		if err != nil {
			return fmt.Errorf("find the runbooks: %w", err)
		}
		args = append(args, "--runbooks", dir)
	}
	if o.addr == "" {
		if have, err := a.store().Look(""); err == nil {
			o.addr = have.Gateway
		} else {
			a.notice("you are not logged in to a gateway", "run sluice login before the client starts the agent")
		}
	}
	if o.addr != "" {
		args = append(args, "--gateway", o.addr)
	}
	e := agentconf.Entry{Command: program, Args: args}
	if home := a.env("SLUICE_HOME"); home != "" {
		e.Env = map[string]string{"SLUICE_HOME": home}
	}
	return a.configure(name, o, func(c agentconf.Client, text []byte) ([]byte, error) { return c.Add(text, o.name, e) })
}

// thisProgram is where this program is: as it is called, if that leads here, so that an
// update is followed.
func thisProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	called, err := exec.LookPath(filepath.Base(self))
	if err != nil || !filepath.IsAbs(called) {
		return self, nil //nolint:nilerr // it is not in the path, and needs not be
	}
	one, err1 := os.Stat(self)
	two, err2 := os.Stat(called)
	if err1 == nil && err2 == nil && os.SameFile(one, two) {
		return called, nil
	}
	return self, nil
}

// configure changes a client's configuration and shows what was changed.
func (a *app) configure(name string, o installFlags, change func(agentconf.Client, []byte) ([]byte, error)) error {
	c, path, err := a.clientFile(name, o)
	if err != nil {
		return err
	}
	f, err := agentconf.Open(path)
	if err != nil {
		return tell(exitError, "check the path, and that it is yours to read", "the configuration of %s cannot be read: %v", c.Title, err)
	}
	text, err := change(c, f.Text)
	switch {
	case errors.Is(err, agentconf.ErrTaken):
		return tell(exitError, "choose another with --name", "%s already has another server called %q in %s", c.Title, o.name, f.Path)
	case errors.Is(err, agentconf.ErrAbsent):
		return tell(exitError, "it may be in another file (--project, --file) or under another --name", "%s has no server called %q in %s", c.Title, o.name, f.Path)
	case err != nil:
		return tell(exitError, "mend it, or put in by hand what --print shows for an empty --file; nothing was changed", "the configuration of %s in %s was left alone: %v", c.Title, f.Path, err)
	}
	diff := agentconf.Diff(f.Text, text)
	if diff == "" {
		fmt.Fprintf(a.err, "%s has it already, in %s\n", c.Title, f.Path)
		return nil
	}
	if _, err := fmt.Fprintf(a.out, "--- %s\n%s\n", f.Path, strings.TrimRight(cleanLines(diff), "\n")); err != nil {
		return err
	}
	if o.print {
		return nil
	}
	backup, err := f.Replace(text, a.now())
	if err != nil {
		return tell(exitError, "run it again; if it still fails, close the client first", "the configuration of %s was not changed: %v", c.Title, err)
	}
	if backup != "" {
		fmt.Fprintf(a.err, "what was there is in %s\n", backup)
	}
	fmt.Fprintf(a.err, "done; for %s to take note: %s\n", c.Title, c.Restart)
	return nil
}

func (a *app) clientFile(name string, o installFlags) (agentconf.Client, string, error) {
	for _, c := range agentconf.Clients() {
		if c.Name != name {
			continue
		}
		if o.file != "" {
			return c, o.file, nil
		}
		dir := ""
		if o.project {
			var err error
			if dir, err = os.Getwd(); err != nil {
				return c, "", err
			}
		}
		path := c.File(a.place(), dir)
		if path == "" {
			return c, "", tell(exitUsage, "leave --project out", "%s has no configuration in projects", c.Title)
		}
		return c, path, nil
	}
	hint := "one of " + strings.Join(clientNames(), ", ") + "; any other takes the command: sluice mcp"
	if near := nearest(name, clientNames()); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return agentconf.Client{}, "", tell(exitUsage, hint, "there is no client %q that we know", short(name, 40))
}

// place is where this person's files are.
func (a *app) place() agentconf.Place {
	p := agentconf.Place{Home: a.env("HOME"), System: runtime.GOOS, Env: a.env}
	if p.Home == "" {
		p.Home = a.env("USERPROFILE")
	}
	switch p.System {
	case "darwin":
		p.Config = filepath.Join(p.Home, "Library", "Application Support")
	case "windows":
		p.Config = a.env("APPDATA")
	default:
		if p.Config = a.env("XDG_CONFIG_HOME"); p.Config == "" {
			p.Config = filepath.Join(p.Home, ".config")
		}
	}
	return p
}
