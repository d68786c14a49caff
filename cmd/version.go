package cmd

import (
	"fmt"
	"runtime"
	"strings"

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

// noArgs, oneArg and atMostOne check arguments, and say what a command takes.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%s takes no argument, and got %q", c.CommandPath(), short(args[0], 40))}
}

func oneArg(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("%s needs %s", c.CommandPath(), argOf(c))}
	}
	return atMostOne(c, args)
}

func atMostOne(c *cobra.Command, args []string) error {
	if len(args) < 2 {
		return nil
	}
	return usageError{fmt.Errorf("%s takes one argument, %s, and got %d", c.CommandPath(), argOf(c), len(args))}
}

// argOf is what a command calls its argument: ID, of "show ID".
func argOf(c *cobra.Command) string {
	if words := strings.Fields(c.Use); len(words) > 1 {
		return strings.Trim(words[1], "[]")
	}
	return "an argument"
}
