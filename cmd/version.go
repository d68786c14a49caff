package cmd

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	var f format
	c := &cobra.Command{
		Use: "version", Short: "print the version", Args: noArgs, Example: "  sluice version -o json",
		RunE: func(*cobra.Command, []string) error {
			if f.name == "json" {
				return f.print(a.out, table{value: map[string]string{"version": buildVersion(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}})
			}
			_, err := fmt.Fprintf(a.out, "sluice %s %s/%s\n", buildVersion(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	addFormat(c, &f, "text", "json")
	return c
}

// noArgs, oneArg and atMostOne check arguments as cobra does, with our exit code.
func noArgs(c *cobra.Command, args []string) error { return wrapUsage(cobra.NoArgs(c, args)) }
func oneArg(c *cobra.Command, args []string) error { return wrapUsage(cobra.ExactArgs(1)(c, args)) }
func atMostOne(c *cobra.Command, args []string) error {
	return wrapUsage(cobra.MaximumNArgs(1)(c, args))
}

func wrapUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}
