package cmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/client"
)

// entryFlags are what connect writes for other programs.
type entryFlags struct {
	service string
	write   []string
	remove  []string
}

func (o *entryFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.service, "pg-service", "", "name in the service file of PostgreSQL's clients, while the port is open")
	c.Flags().StringSliceVar(&o.write, "write", nil, "make a connection in a program: dbeaver or pgadmin")
	c.Flags().StringSliceVar(&o.remove, "remove", nil, "take out what --write made, and open nothing")
	c.MarkFlagsMutuallyExclusive("write", "remove")
	for _, name := range []string{"write", "remove"} {
		// The only error is a flag that does not exist, and it was just made.
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(programs, cobra.ShellCompDirectiveNoFileComp))
	}
}

var programs = []string{"dbeaver", "pgadmin"}

// entryTime bounds writing entries, which waits for other processes that do.
const entryTime = 10 * time.Second

// writeEntries writes what was asked for. forget takes out again what holds the password
// of this port, and is never nil.
func (a *app) writeEntries(ctx context.Context, gateway string, p localPort, o entryFlags) (forget func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, entryTime)
	defer cancel()
	store, local := a.store(), p.local()
	var written []client.Marked
	forget = func() {
		ctx, cancel := context.WithTimeout(context.Background(), entryTime) // also after Ctrl-C
		defer cancel()
		for _, m := range written {
			if err := m.Remove(ctx, store); err != nil {
				a.notice(fmt.Sprintf("the entry %s in %s was not taken out: %v", m.Name, m.Path, err), "take it out by hand; its password is worth nothing any more")
			}
		}
	}
	if o.service != "" {
		path := a.serviceFile()
		m, err := client.Service(path, o.service, local)
		if err == nil {
			err = m.Write(ctx, store, client.ServiceClash(path, o.service))
		}
		if err != nil {
			return forget, err
		}
		written = append(written, m)
		fmt.Fprintf(a.err, "psql service=%s works while this runs (%s)\n", o.service, path)
	}
	if len(o.write) == 0 {
		return forget, nil
	}
	if local.Password != "" {
		m := client.Passfile(a.passFile(), gateway+" "+p.Connection, local)
		if err := m.Write(ctx, store, nil); err != nil {
			return forget, err
		}
		written = append(written, m)
	}
	return forget, a.profiles(ctx, client.Profile{Gateway: gateway, Connection: p.Connection, Env: p.env, Local: local, Passfile: a.passFile()}, o.write, false)
}

// removeProfiles takes out what --write made.
func (a *app) removeProfiles(ctx context.Context, addr string, names []string, o entryFlags) error {
	have, err := a.store().Look(addr)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := a.profiles(ctx, client.Profile{Gateway: have.Gateway, Connection: name}, o.remove, true); err != nil {
			return err
		}
	}
	return nil
}

// profiles writes or removes one connection in each of the programs.
func (a *app) profiles(ctx context.Context, p client.Profile, in []string, remove bool) error {
	for _, program := range in {
		if !slices.Contains(programs, program) {
			return usageError{fmt.Errorf("%q is not a program that entries are written for%s", program, didYouMean(program, programs))}
		}
		var err error
		var path, done string
		switch program {
		case "dbeaver":
			if path = client.DBeaver(a.home(), a.env("XDG_DATA_HOME")); path == "" {
				return tell(exitError, "start DBeaver once, so that it makes its workspace", "DBeaver has no workspace here")
			}
			err, done = client.WriteDBeaver(ctx, a.store(), path, p, remove), "DBeaver shows "+p.Connection+" in the folder sluice after its next start"
		case "pgadmin":
			path = filepath.Join(a.store().Dir, "pgadmin.json")
			err, done = client.WritePgAdmin(ctx, a.store(), path, p, remove), "import it in pgAdmin: Tools, Import/Export Servers, "+path
		}
		if err != nil {
			return err
		}
		if remove {
			done = "took " + p.Connection + " out of " + path
		}
		fmt.Fprintln(a.err, done)
	}
	return nil
}

func (r connectReady) local() client.Local {
	return client.Local{Host: r.Host, Port: r.Port, User: r.User, Password: r.Password, Database: r.Database}
}

// home is the person's directory; relative names go under it when there is none, which
// the write then refuses.
func (a *app) home() string {
	if dir := a.env("HOME"); dir != "" {
		return dir
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return dir
}

// serviceFile and passFile are where libpq looks.
func (a *app) serviceFile() string {
	if path := a.env("PGSERVICEFILE"); path != "" {
		return path
	}
	if dir := a.env("APPDATA"); dir != "" {
		return filepath.Join(dir, "postgresql", ".pg_service.conf")
	}
	return filepath.Join(a.home(), ".pg_service.conf")
}

func (a *app) passFile() string {
	if path := a.env("PGPASSFILE"); path != "" {
		return path
	}
	if dir := a.env("APPDATA"); dir != "" {
		return filepath.Join(dir, "postgresql", "pgpass.conf")
	}
	return filepath.Join(a.home(), ".pgpass")
}
