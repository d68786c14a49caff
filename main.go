// Sluice is an access broker for databases: one binary, gateway and client.
package main

import (
	"os"

	"github.com/sluicehq/sluice/cmd"
)

func main() { os.Exit(cmd.Main()) }
