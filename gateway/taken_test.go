package gateway_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/audit/export"
	"github.com/sluicehq/sluice/identity"
)

// The record is taken by auditors only, by a few at a time, and each is recorded before.
func TestWhoTakesTheRecord(t *testing.T) {
	th := start(t, "dev", shop, nil)
	take := func(ctx context.Context, who identity.Identity, out io.Writer) error {
		return th.AuditExport(ctx, func() identity.Identity { return who }, export.Request{Format: "json"}, out, func() error { return nil })
	}
	agent := person("aud", "audit")
	agent.Kind, agent.Owner = identity.Agent, "aud"
	for _, who := range []identity.Identity{person("ada"), agent, {}} {
		var out bytes.Buffer
		if err := take(t.Context(), who, &out); err == nil || out.Len() > 0 {
			t.Errorf("%s took %d bytes: %v", who.Name(), out.Len(), err)
		}
	}
	aud := person("aud", "audit")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	var readers []*io.PipeReader
	for range 4 { // who read nothing
		r, w := io.Pipe()
		readers = append(readers, r)
		go func() { ended <- take(ctx, aud, w) }()
		if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := take(t.Context(), aud, io.Discard); err == nil || !strings.Contains(err.Error(), "others are taking") {
		t.Errorf("a fifth: %v", err)
	}
	cancel()
	for _, r := range readers {
		_ = r.Close()
	}
	for range 4 {
		if err := <-ended; err == nil {
			t.Error("it was given to somebody who left")
		}
	}
	var out bytes.Buffer
	if err := take(t.Context(), aud, &out); err != nil || !strings.Contains(out.String(), `"detail":"export {`) || !strings.HasSuffix(out.String(), "\"end\":true}\n") {
		t.Errorf("%v\n%s", err, out.String())
	}
	res, err := th.AuditQuery(t.Context(), aud, api.AuditQuery{Kind: audit.Questioned, Text: "export"})
	if err != nil || len(res.Events) < 5 {
		t.Errorf("%d questions are in the record: %v", len(res.Events), err)
	}
}
