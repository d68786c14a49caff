package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit/export"
	"github.com/sluicehq/sluice/identity"
)

const (
	// exportsAtOnce is how many take the whole record at a time: each reads all of it.
	exportsAtOnce = 4
	// exportStall is how long somebody who takes the record may take nothing.
	exportStall = 5 * time.Minute
)

// exportRoute hands the record on as it is read.
func (g *Gateway) exportRoute(mux *http.ServeMux, who identity.Identity, latest func() identity.Identity) {
	mux.HandleFunc("POST "+api.AuditExportPath, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, api.MaxOpenRequest)
		var in export.Request
		err := g.known(who)
		if err == nil {
			err = read(r, &in)
		}
		if err != nil {
			fail(w, err)
			return
		}
		out := &handed{w: w, control: http.NewResponseController(w)}
		if err := g.AuditExport(r.Context(), latest, in, out, out.flush); err != nil && !out.begun {
			fail(w, err)
		}
	})
}

// handed is what is written to a caller, who must not stop reading for long.
type handed struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (h *handed) Write(b []byte) (int, error) {
	if !h.begun {
		h.begun = true
		h.w.Header().Set("Content-Type", "application/jsonl")
	}
	// Where there is no deadline to set, the tunnel notices who is gone.
	_ = h.control.SetWriteDeadline(time.Now().Add(exportStall))
	return h.w.Write(b)
}

func (h *handed) flush() error { return h.control.Flush() }

// AuditExport writes the record, as it stands, to an auditor, up to the newest entry or for
// as long as they may have it. That it was asked for is recorded before, and so is in it.
// Memory is bounded, whatever is asked for and however slowly it is taken.
func (g *Gateway) AuditExport(ctx context.Context, caller func() identity.Identity, in export.Request, out io.Writer, flush func() error) error {
	may := func() error {
		who := caller()
		if err := g.known(who); err != nil {
			return err
		}
		if !g.auditor(who) {
			return &api.Error{Sentence: "only auditors may take the record with them", Hint: "ask about what you did yourself: sluice audit query", Code: api.CodeRefused}
		}
		return nil
	}
	if err := may(); err != nil {
		return err
	}
	select {
	case g.exporting <- struct{}{}:
		defer func() { <-g.exporting }()
	default:
		return &api.Error{Sentence: "others are taking the record just now", Hint: "try again when one of them is done", Code: api.CodeError}
	}
	if err := g.questioned(caller(), "export", in); err != nil {
		return err
	}
	if err := g.cfg.Record.Seal(ctx); err != nil {
		return err
	}
	err := export.Give(ctx, g.cfg.RecordDir, in, out, flush, may)
	if err != nil && !errors.Is(err, ctx.Err()) {
		g.cfg.Log.Warn("the record was not handed on whole", "error", err)
	}
	return err
}
