package cmd

import (
	"testing"

	"github.com/sluicehq/sluice/audit"
)

// A message to a hook that was refused has no statement, and its reason is all there is.
func TestRefusalWithoutAStatementSaysWhy(t *testing.T) {
	rows := eventsTable([]audit.Event{{Kind: audit.Ran, Outcome: "refused", Error: "the message was not accepted"}}).rows
	if last := rows[0][len(rows[0])-1]; last != "the message was not accepted" {
		t.Errorf("%q", rows[0])
	}
}
