package lineage

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// MaxClaim is the longest event from elsewhere that is read, in bytes.
const MaxClaim = 1 << 20

// claimEvent is what is read of an OpenLineage event. Everything else in it is not kept.
type claimEvent struct {
	EventType string `json:"eventType"`
	EventTime string `json:"eventTime"`
	Run       *struct {
		RunID  string `json:"runId"`
		Facets struct {
			Parent *struct {
				Run struct {
					RunID string `json:"runId"`
				} `json:"run"`
				Job struct {
					Namespace string `json:"namespace"`
					Name      string `json:"name"`
				} `json:"job"`
			} `json:"parent"`
			Error *struct {
				Message string `json:"message"`
			} `json:"errorMessage"`
		} `json:"facets"`
	} `json:"run"`
	Job *struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"job"`
	Inputs  []claimDataset `json:"inputs"`
	Outputs []claimDataset `json:"outputs"`
}

type claimDataset struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Facets    struct {
		Version *struct {
			DatasetVersion string `json:"datasetVersion"`
		} `json:"version"`
		ColumnLineage *struct {
			Fields map[string]struct {
				InputFields []claimField `json:"inputFields"`
			} `json:"fields"`
			Dataset []claimField `json:"dataset"`
		} `json:"columnLineage"`
	} `json:"facets"`
}

type claimField struct {
	Namespace       string `json:"namespace"`
	Name            string `json:"name"`
	Field           string `json:"field"`
	Transformations []struct {
		Type    string `json:"type"`
		Subtype string `json:"subtype"`
		Masking bool   `json:"masking"`
	} `json:"transformations"`
}

// maxClaimFlows bounds the flows of one event: what an entry of the record can hold.
const maxClaimFlows = 2_000

// Claim reads a run event of OpenLineage as an event for the record. connection gives the
// connection to a database, host:port and name, "" if there is none: what lies there is
// then the same in the graph as what statements speak of.
func Claim(data []byte, connection func(at, database string) string) (audit.Event, error) {
	var in claimEvent
	if len(data) > MaxClaim {
		return audit.Event{}, fmt.Errorf("an event of %d bytes: at most %d are read", len(data), MaxClaim)
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return audit.Event{}, fmt.Errorf("not an OpenLineage event: %w", err)
	}
	switch {
	case in.Run == nil || in.Run.RunID == "":
		return audit.Event{}, errors.New("not a run event: it has no run")
	case in.Job == nil || in.Job.Name == "":
		return audit.Event{}, errors.New("not a run event: it has no job")
	}
	ev := audit.Event{Kind: audit.Claimed, Run: in.Run.RunID, Job: in.Job.Name, Facts: []string{"namespace=" + in.Job.Namespace, "event=" + in.EventType, "time=" + in.EventTime}}
	switch strings.ToUpper(in.EventType) {
	case "COMPLETE":
		ev.Outcome = "ok"
	case "FAIL", "ABORT":
		ev.Outcome = "error"
	}
	if p := in.Run.Facets.Parent; p != nil {
		ev.Parent = p.Job.Namespace + "/" + p.Job.Name + "/" + p.Run.RunID
	}
	if e := in.Run.Facets.Error; e != nil {
		ev.Error = e.Message
	}
	name := func(namespace, name string) string { return claimName(namespace, name, connection) }
	for _, d := range in.Inputs {
		ev.Inputs = append(ev.Inputs, d.artifact(name).String())
	}
	n := 0
	for _, d := range in.Outputs {
		ev.Outputs = append(ev.Outputs, d.artifact(name).String())
		flows := d.flows(name)
		if n += len(flows); n > maxClaimFlows {
			return audit.Event{}, fmt.Errorf("an event with more than %d ways between columns", maxClaimFlows)
		}
		ev.Flows = append(ev.Flows, audit.FormatFlows(flows)...)
	}
	return ev, nil
}

func (d claimDataset) artifact(name func(string, string) string) audit.Artifact {
	a := audit.Artifact{Name: name(d.Namespace, d.Name)}
	if v := d.Facets.Version; v != nil {
		a.Hash = v.DatasetVersion
	}
	return a
}

// claimName is the name of a data set in the record: namespace, space, name.
func claimName(namespace, name string, connection func(at, database string) string) string {
	namespace = strings.ReplaceAll(namespace, " ", "%20")
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		at, ok := strings.CutPrefix(namespace, scheme)
		if !ok {
			continue
		}
		if !strings.Contains(at, ":") {
			at += ":5432"
		}
		database, relation, ok := strings.Cut(name, ".")
		if c := connection(at, database); ok && c != "" {
			return SluiceNamespace + c + " " + relation
		}
	}
	if strings.HasPrefix(namespace, SluiceNamespace) && connection("", strings.TrimPrefix(namespace, SluiceNamespace)) == "" {
		namespace = "claimed-" + namespace // it names a connection that there is not
	}
	return namespace + " " + name
}

func (d claimDataset) flows(name func(string, string) string) (out []audit.Flow) {
	cl := d.Facets.ColumnLineage
	if cl == nil {
		return nil
	}
	into := name(d.Namespace, d.Name)
	add := func(into string, f claimField) {
		if f.Field == "" || f.Name == "" {
			return
		}
		flow := audit.Flow{Into: into, How: audit.FlowDerived, From: []string{name(f.Namespace, f.Name) + "#" + f.Field}}
		for i, t := range f.Transformations {
			how := audit.FlowDerived
			switch {
			case t.Type == "INDIRECT":
				how = audit.FlowSteers
			case t.Subtype == "IDENTITY":
				how = audit.FlowDirect
			}
			if i == 0 || flow.How == audit.FlowSteers { // by its value is more than that it steers
				flow.How = how
			}
			flow.Masked = flow.Masked || t.Masking
		}
		out = append(out, flow)
	}
	var fields []string
	for field := range cl.Fields {
		fields = append(fields, field)
	}
	sort.Strings(fields)
	for _, field := range fields {
		for _, f := range cl.Fields[field].InputFields {
			add(into+"#"+field, f)
		}
	}
	for _, f := range cl.Dataset {
		add(into, f)
	}
	return out
}
