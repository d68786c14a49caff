package runbook

import (
	"crypto/rand"
	"strings"
)

// NewRunID is an id for a run, short enough for a person to type: to go on with it, or to
// ask what became of it.
func NewRunID() string { return "rb-" + strings.ToLower(rand.Text()[:8]) }
