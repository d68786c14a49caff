package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/lineage"
)

// lineageRoutes are those of lineage and of runs.
func (g *Gateway) lineageRoutes(mux *http.ServeMux, who identity.Identity) {
	g.closed(mux, who, "POST "+api.LineagePath, with(func(r *http.Request, in lineage.Question) (any, error) {
		return g.Lineage(r.Context(), who, in)
	}))
	g.closed(mux, who, "POST "+api.LineageProvePath, with(func(r *http.Request, in api.LineageProve) (any, error) {
		return g.LineageProve(r.Context(), who, in)
	}))
	g.closed(mux, who, "POST "+api.LineageImportPath, with(func(r *http.Request, in api.LineageImport) (any, error) {
		return g.ImportLineage(r.Context(), who, in)
	}))
	g.closed(mux, who, "POST "+api.RunsPath, with(func(_ *http.Request, in api.JobRunStart) (any, error) {
		return g.BeginJobRun(who, in)
	}))
	g.closed(mux, who, "POST "+api.RunEndPath, with(func(r *http.Request, in api.JobRunEnd) (any, error) {
		return g.EndJobRun(r.Context(), who, r.PathValue("id"), in)
	}))
	g.closed(mux, who, "POST "+api.RunBeatPath, func(r *http.Request) (any, error) {
		return g.BeatJobRun(r.Context(), who, r.PathValue("id"))
	})
}

var errNoLineage = &api.Error{Sentence: "this gateway keeps no lineage", Hint: "ask the record: sluice audit query", Code: api.CodeError}

// questioned records a question of the record before it is answered.
func (g *Gateway) questioned(who identity.Identity, what string, in any) error {
	asked, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return g.note(audit.Event{Kind: audit.Questioned, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Groups: who.Groups, Detail: what + " " + string(asked)})
}

// Lineage answers where something came from, or went. Auditors see all, everyone else
// what they moved themselves. The question is recorded before it is answered.
func (g *Gateway) Lineage(ctx context.Context, who identity.Identity, in lineage.Question) (*lineage.Answer, error) {
	if err := g.questioned(who, "lineage", in); err != nil {
		return nil, err
	}
	if g.cfg.Lineage == nil {
		return nil, errNoLineage
	}
	in.Who = ""
	if !g.auditor(who) {
		if who.Subject == "" { // an empty filter would choose everyone
			return nil, g.known(who)
		}
		in.Who = who.Subject
	}
	a, err := g.cfg.Lineage.Ask(ctx, in)
	return a, LineageError(err)
}

// LineageProve answers with what proves the answer, up to the newest entry.
func (g *Gateway) LineageProve(ctx context.Context, who identity.Identity, in api.LineageProve) (*lineage.Proof, error) {
	if !g.auditor(who) {
		return nil, &api.Error{Sentence: "only auditors may have lineage proven", Hint: "ask one of them", Code: api.CodeRefused}
	}
	if err := g.questioned(who, "prove lineage", in); err != nil {
		return nil, err
	}
	if g.cfg.Lineage == nil {
		return nil, errNoLineage
	}
	var a *lineage.Answer
	err := g.cfg.Lineage.With(ctx, func(graph *lineage.Graph, _ string) (err error) {
		a, err = lineageToProve(graph, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := g.cfg.Record.Seal(ctx); err != nil {
		return nil, err
	}
	return ProveLineage(ctx, g.cfg.RecordDir, a)
}

// lineageToProve is the answer that is to be proven.
func lineageToProve(graph *lineage.Graph, in api.LineageProve) (a *lineage.Answer, err error) {
	if in.Edge != "" {
		a, err = graph.Edge(in.Edge)
	} else {
		a, err = graph.Ask(lineage.Question{Target: in.Target, Up: in.Up, Depth: in.Depth, At: in.At, Steers: in.Steers})
	}
	return a, LineageError(err)
}

// AskProof is LineageProve of a record that is read without a gateway.
func AskProof(ctx context.Context, dir string, graph *lineage.Graph, in api.LineageProve) (*lineage.Proof, error) {
	a, err := lineageToProve(graph, in)
	if err != nil {
		return nil, err
	}
	return ProveLineage(ctx, dir, a)
}

// ProveLineage proves an answer by the record in dir.
func ProveLineage(ctx context.Context, dir string, a *lineage.Answer) (*lineage.Proof, error) {
	seqs := a.Seqs()
	if len(seqs) > lineage.MaxProofEntries || a.More {
		return nil, &api.Error{Sentence: fmt.Sprintf("the answer rests on more than %d entries", lineage.MaxProofEntries), Hint: "narrow it with --depth, or prove one way: sluice lineage prove e-…", Code: api.CodeError}
	}
	proofs, err := audit.ProveAll(ctx, dir, seqs)
	if errors.Is(err, audit.ErrNotSealed) {
		return nil, &api.Error{Sentence: "no checkpoint covers all entries yet", Hint: "try again in a second, or once the gateway has been started", Code: api.CodeError}
	}
	if err != nil {
		return nil, err
	}
	return &lineage.Proof{Format: lineage.ProofFormat, Answer: a, Proofs: proofs}, nil
}

// ImportLineage records what auditors say that pipelines elsewhere moved, as their claim.
func (g *Gateway) ImportLineage(ctx context.Context, who identity.Identity, in api.LineageImport) (out api.LineageImported, err error) {
	if !g.auditor(who) {
		return out, &api.Error{Sentence: "only auditors may bring lineage from elsewhere", Hint: "ask one of them to run: sluice lineage import", Code: api.CodeRefused}
	}
	var last audit.Ticket
	for i, text := range in.Events {
		ev, err := lineage.Claim([]byte(text), g.connectionTo)
		if err != nil {
			out.Skipped = append(out.Skipped, fmt.Sprintf("event %d: %v", i+1, err))
			continue
		}
		run := jobRunEvent(audit.Claimed, who, ev.Run)
		run.Job, run.Parent, run.Outcome, run.Error, run.Inputs, run.Outputs, run.Flows, run.Facts = ev.Job, ev.Parent, ev.Outcome, ev.Error, ev.Inputs, ev.Outputs, ev.Flows, ev.Facts
		run.Time = g.cfg.Now()
		if last, err = g.cfg.Record.Append(run); err != nil {
			return out, fmt.Errorf("record a claim: %w", err)
		}
		out.Taken++
	}
	if out.Taken == 0 {
		return out, nil
	}
	return out, last.Durable(ctx)
}

// connectionTo is the connection to a database; without an address, the one of that name.
func (g *Gateway) connectionTo(at, database string) string {
	for _, c := range g.cfg.Connections {
		if at == "" && c.Name == database || at != "" && g.bases[c.Name].place() == at+"/"+database {
			return c.Name
		}
	}
	return ""
}

// Fields are the columns of a relation as its database has them, nil if it is not known.
func (g *Gateway) Fields(connection, relation string) (out []lineage.Field) {
	base := g.bases[connection]
	if base == nil || base.current.Load() == nil {
		return nil
	}
	schema, name, _ := strings.Cut(relation, ".")
	for _, rel := range base.current.Load().Lookup(schema, name) {
		for i, column := range rel.Columns {
			f := lineage.Field{Name: column, Ordinal: i + 1}
			if i < len(rel.Types) {
				f.Type = rel.Types[i]
			}
			out = append(out, f)
		}
	}
	return out
}

// LineageError is what is wrong with a question about lineage, in words for who asked it.
func LineageError(err error) error {
	var u *lineage.Unfound
	if !errors.As(err, &u) {
		return err
	}
	hint := "name a table, table.column, model:name@version, run:ID or a URI that the record has; what nobody moved through the gateway is not in it"
	if len(u.May) > 0 {
		hint = "give more of the name, such as " + u.May[0]
	}
	return &api.Error{Sentence: u.Error(), Hint: hint, Code: api.CodeError}
}

// Limits of what a caller may say of a run.
const (
	maxRunName = 256
	maxRunList = 200
	maxRunText = 1000
)

// BeginJobRun records that a run of a job begins, and gives it an ID. What is said of it is
// the caller's word; that they said so is the record's.
func (g *Gateway) BeginJobRun(who identity.Identity, in api.JobRunStart) (api.JobRunStarted, error) {
	if err := checkRun(in.Job, in.Parent, in.Command, in.Inputs, in.Facts); err != nil {
		return api.JobRunStarted{}, err
	}
	if in.Job == "" {
		return api.JobRunStarted{}, &api.Error{Sentence: "the run has no job", Hint: "name it: sluice run --job NAME", Code: api.CodeUsage}
	}
	if g.cfg.Lineage == nil {
		return api.JobRunStarted{}, errNoLineage
	}
	now := g.cfg.Now()
	id := newUUID(now)
	ev := jobRunEvent(audit.RunBegan, who, id)
	ev.Job, ev.Parent, ev.Command, ev.Inputs, ev.Facts = in.Job, in.Parent, in.Command, in.Inputs, in.Facts
	lease, out := g.runLease(), api.JobRunStarted{ID: id, Began: now.UTC()}
	if in.Beats {
		ev.Facts = append(slices.Clone(in.Facts), fmt.Sprintf("%s=%d", factLease, int(lease.Seconds())))
		out.BeatMS = (lease / beatsEach).Milliseconds()
	}
	if err := g.note(ev); err != nil {
		return api.JobRunStarted{}, err
	}
	g.jobRuns.note(id, who.Key())
	if in.Beats {
		g.jobRuns.lease(id, leased{who: who, job: in.Job, heard: now})
	}
	return out, nil
}

// EndJobRun records how a run ended, once, for who began it.
func (g *Gateway) EndJobRun(ctx context.Context, who identity.Identity, id string, in api.JobRunEnd) (api.JobRunStarted, error) {
	if err := checkRun("", "", in.Error, append(slices.Clone(in.Inputs), in.Outputs...), in.Facts); err != nil {
		return api.JobRunStarted{}, err
	}
	if in.Outcome != "ok" && in.Outcome != "error" {
		return api.JobRunStarted{}, &api.Error{Sentence: fmt.Sprintf("a run cannot end as %q", in.Outcome), Hint: "say ok or error", Code: api.CodeUsage}
	}
	g.jobRuns.turn.Lock()
	defer g.jobRuns.turn.Unlock()
	job, err := g.openRun(ctx, who, id)
	if err != nil {
		return api.JobRunStarted{}, err
	}
	if !g.jobRuns.end(id) {
		return api.JobRunStarted{}, noRun(id)
	}
	ev := jobRunEvent(audit.RunEnded, who, id)
	ev.Job, ev.Outcome, ev.Error, ev.Inputs, ev.Outputs, ev.Facts = job, in.Outcome, in.Error, in.Inputs, in.Outputs, in.Facts
	return api.JobRunStarted{ID: id}, g.note(ev)
}

func jobRunEvent(kind audit.Kind, who identity.Identity, id string) audit.Event {
	return audit.Event{
		Kind: kind, Run: id, Who: who.Name(), Subject: who.Subject, CallerKind: string(who.Kind), Owner: who.Owner, Groups: who.Groups,
		Credential: who.Credential, Claims: identity.ClaimList(who.Claims), Outcome: "ok",
	}
}

func checkRun(job, parent, text string, artifacts, facts []string) error {
	switch {
	case len(job) > maxRunName || len(parent) > 3*maxRunName || len(text) > maxRunText:
		return &api.Error{Sentence: "a name or text of the run is too long", Hint: fmt.Sprintf("a job's name has at most %d bytes, a command %d", maxRunName, maxRunText), Code: api.CodeUsage}
	case len(artifacts) > maxRunList || len(facts) > maxRunList:
		return &api.Error{Sentence: fmt.Sprintf("a run has at most %d inputs and outputs, and as many parameters", maxRunList), Hint: "name a directory instead of its files", Code: api.CodeUsage}
	}
	for _, s := range append(slices.Clone(artifacts), facts...) {
		if len(s) > maxRunText || s == "" {
			return &api.Error{Sentence: "an input, output or parameter of the run is empty or too long", Hint: fmt.Sprintf("each has at most %d bytes", maxRunText), Code: api.CodeUsage}
		}
	}
	for _, s := range artifacts { // the names of claimed data sets are for those who import them
		if strings.Contains(audit.ParseArtifact(s).Name, " ") {
			return &api.Error{Sentence: "the name of an input or output has a space in it", Hint: "write it as a URI, with %20", Code: api.CodeUsage}
		}
	}
	return nil
}

func noRun(id string) error {
	return &api.Error{Sentence: fmt.Sprintf("you have no run %q that is under way", short(id)), Hint: "begin one with sluice run; if SLUICE_RUN_ID is left over from an old one, unset it", Code: api.CodeRefused}
}

func short(s string) string {
	const most = 64
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// ofRun checks that a caller may open a session of a run: they began it, and it has not
// ended. Nobody makes others' runs read or write.
func (g *Gateway) ofRun(ctx context.Context, who identity.Identity, id string) error {
	if id == "" {
		return nil
	}
	g.jobRuns.turn.Lock()
	defer g.jobRuns.turn.Unlock()
	_, err := g.openRun(ctx, who, id)
	return err
}

// openRun gives the job of a run that who began and that has not ended. Those that an
// earlier process began are found in the record; one that was lost is back by this. The
// turn of jobRuns is held.
func (g *Gateway) openRun(ctx context.Context, who identity.Identity, id string) (job string, err error) {
	if g.cfg.Lineage == nil || id == "" {
		return "", noRun(id)
	}
	owner, known := g.jobRuns.owner(id)
	if known && owner != who.Key() {
		return "", noRun(id)
	}
	found, lost := false, (*lineage.Info)(nil)
	err = g.cfg.Lineage.With(ctx, func(graph *lineage.Graph, _ string) error {
		in, open := graph.Open(id)
		if !open {
			if in, found = graph.Lost(id); found {
				copied := *in
				lost = &copied
			}
		}
		if open || found {
			job, found = in.Job, in.Subject == who.Subject && in.Owner == who.Owner && in.CallerKind == string(who.Kind)
		}
		return nil
	})
	switch {
	case err != nil:
		g.cfg.Log.Error("look for a run", "run", id, "error", err)
		return "", &api.Error{Sentence: "the run could not be looked for", Hint: "the gateway's log has the details", Code: api.CodeError}
	case !found:
		return "", noRun(id)
	case lost != nil:
		if err := g.back(who, id, lost); err != nil {
			return "", err
		}
	}
	if !known {
		g.jobRuns.note(id, who.Key())
	}
	return job, nil
}

// newUUID makes a UUID of version 7 (RFC 9562, section 5.7), as OpenLineage asks for.
func newUUID(now time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16|uint64(binary.BigEndian.Uint16(b[6:8])))
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
