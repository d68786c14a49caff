// Package runbooks has the runbooks that come with Sluice, to begin one's own from. They
// are for the tables of the demo's shop.
package runbooks

import "embed"

// Files are the runbooks, and the cases that they are tested with.
//
//go:embed *.yaml
var Files embed.FS
