package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/lineage"
)

// importBytes and importEvents bound one message to the gateway.
const (
	importBytes  = 4 << 20
	importEvents = 500
)

func (a *app) lineageImportCommand(addr *string) *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "bring OpenLineage events of pipelines that run elsewhere", Args: oneArg, Example: "  sluice lineage import events.jsonl",
		Long: `Read run events of OpenLineage from FILE (- is standard input): one after the other, or
as one list. They are recorded as claimed by you, and the graph shows them as claimed,
not proven. Data sets in databases of the gateway's own connections, such as
postgres://db.internal:5432 and shop.public.orders, are the tables that statements moved.`,
		RunE: func(c *cobra.Command, args []string) error { return a.importLineage(c, *addr, args[0]) },
	}
}

func (a *app) importLineage(c *cobra.Command, addr, path string) error {
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return tell(exitUsage, "give a file with OpenLineage events", "%s cannot be read: %s", path, reason(err))
		}
		defer f.Close()
		in = f
	}
	var total api.LineageImported
	var batch api.LineageImport
	size, n := 0, 0
	send := func() error {
		if len(batch.Events) == 0 {
			return nil
		}
		var out api.LineageImported
		if err := a.call(c.Context(), addr, http.MethodPost, api.LineageImportPath, batch, &out); err != nil {
			return err
		}
		total.Taken += out.Taken
		total.Skipped = append(total.Skipped, out.Skipped...)
		batch, size = api.LineageImport{}, 0
		return nil
	}
	err := eachEvent(in, func(event []byte) error {
		if n++; len(event) > lineage.MaxClaim {
			total.Skipped = append(total.Skipped, fmt.Sprintf("event %d is longer than %d bytes", n, lineage.MaxClaim))
			return nil
		}
		batch.Events = append(batch.Events, string(event))
		if size += len(event); size < importBytes && len(batch.Events) < importEvents {
			return nil
		}
		return send()
	})
	if err == nil {
		err = send()
	}
	for _, s := range total.Skipped {
		fmt.Fprintln(a.err, "left out:", clean(s))
	}
	fmt.Fprintf(a.err, "%d events are in the record, as claimed\n", total.Taken)
	if err == nil && total.Taken == 0 {
		return tell(exitError, "give run events of OpenLineage, as JSON", "nothing in %s could be taken", path)
	}
	return err
}

// eachEvent gives the objects of a text: one after the other, or the elements of one list.
func eachEvent(in io.Reader, give func([]byte) error) error {
	dec := json.NewDecoder(in)
	for {
		var value json.RawMessage
		err := dec.Decode(&value)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return tell(exitUsage, "give OpenLineage events as JSON, one after the other or as a list", "the file is not JSON at byte %d", dec.InputOffset())
		}
		if trimmed := bytes.TrimSpace(value); len(trimmed) == 0 || trimmed[0] != '[' {
			if err := give(value); err != nil {
				return err
			}
			continue
		}
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil {
			return err
		}
		for _, v := range list {
			if err := give(v); err != nil {
				return err
			}
		}
	}
}
