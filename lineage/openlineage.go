package lineage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehq/sluice/audit"
)

// OpenLineage makes events of the OpenLineage specification (2-0-2) of what happened.
type OpenLineage struct {
	Namespace string // of jobs
	Producer  string // URI of who makes the events

	// Fields are the columns of a relation with their types, in order; nil if they are not
	// known. Without it, those count that the record speaks of.
	Fields func(connection, relation string) []Field
}

// Field is a column in a schema facet.
type Field struct {
	Name    string `json:"name"`
	Type    string `json:"type,omitempty"`
	Ordinal int    `json:"ordinal_position,omitempty"`
}

const (
	specURL  = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
	facetURL = "https://openlineage.io/spec/facets/"
	// RecordFacetURL is the schema of our own facet, which says by whom, approved by whom,
	// and by which entries of the record.
	RecordFacetURL = "https://raw.githubusercontent.com/sluicehq/sluice/main/docs/openlineage/1-0-0/SluiceRecordRunFacet.json"
)

// object is a part of an event. Facets are open maps in the specification, and nothing
// here reads them again.
type object = map[string]any

type olDataset struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Facets    object `json:"facets,omitempty"`
}

type olEvent struct {
	EventType string    `json:"eventType"`
	EventTime time.Time `json:"eventTime"`
	Run       struct {
		RunID  string `json:"runId"`
		Facets object `json:"facets,omitempty"`
	} `json:"run"`
	Job struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		Facets    object `json:"facets,omitempty"`
	} `json:"job"`
	Inputs    []olDataset `json:"inputs"`
	Outputs   []olDataset `json:"outputs"`
	Producer  string      `json:"producer"`
	SchemaURL string      `json:"schemaURL"`
}

func (o *OpenLineage) facet(schema string, fields object) object {
	fields["_producer"] = o.Producer
	fields["_schemaURL"] = facetURL + schema
	return fields
}

// Events are the two of a run or statement: that it began, and how it ended. Of a run that
// was lost and is back there is the end alone: a run has one START, and consumers that go
// by the last event would take a second one for a run under way (decision 102).
func (o *OpenLineage) Events(h Happening) ([]json.RawMessage, error) {
	var start olEvent
	start.EventType, start.Producer, start.SchemaURL = "START", o.Producer, specURL
	start.EventTime = time.UnixMicro(h.Began).UTC()
	start.Inputs, start.Outputs = []olDataset{}, []olDataset{}
	start.Run.Facets, start.Job.Facets = object{}, object{}
	start.Job.Namespace = o.Namespace
	if h.Run >= 0 {
		o.ofRun(&start, h)
	} else {
		o.ofStatement(&start, h)
	}
	end := start
	end.EventType, end.EventTime = "COMPLETE", time.UnixMicro(max(h.Ended, h.Began)).UTC()
	end.Run.Facets = object{}
	for k, v := range start.Run.Facets {
		end.Run.Facets[k] = v
	}
	if h.Run >= 0 {
		if in := h.Graph.Nodes[h.Run].Info; in.Status != "ok" {
			end.EventType = "FAIL"
			if in.Status == Lost { // whoever ran it did not fail it
				end.EventType = "ABORT"
			}
			end.Run.Facets["errorMessage"] = o.facet("1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet", object{"message": in.Error, "programmingLanguage": "unknown"})
		}
	}
	end.Inputs, end.Outputs = o.datasets(h)
	if n := unknown(h); n > 0 {
		end.Run.Facets["extractionError"] = o.facet("1-1-2/ExtractionErrorRunFacet.json#/$defs/ExtractionErrorRunFacet", object{
			"totalTasks": len(h.Edges), "failedTasks": n, "errors": []object{{"errorMessage": "the sources of some columns could not be traced: each column that was read may be one"}},
		})
	}
	end.Run.Facets["sluice_record"] = o.record(h)
	list := []olEvent{start, end}
	if h.Again {
		list = list[1:]
	}
	var out []json.RawMessage
	for _, ev := range list {
		data, err := json.Marshal(ev)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func unknown(h Happening) (n int) {
	for _, i := range h.Edges {
		if h.Graph.Edges[i].How == Unknown {
			n++
		}
	}
	return n
}

func (o *OpenLineage) ofRun(ev *olEvent, h Happening) {
	in := h.Graph.Nodes[h.Run].Info
	ev.Run.RunID, ev.Job.Name = h.Graph.Nodes[h.Run].Name, in.Job
	ev.Job.Facets["jobType"] = o.jobType("JOB")
	ev.Job.Facets["ownership"] = o.ownership(h.Act)
	if t, err := time.Parse(time.RFC3339Nano, in.Fact("nominal")); err == nil {
		ev.Run.Facets["nominalTime"] = o.facet("1-0-1/NominalTimeRunFacet.json#/$defs/NominalTimeRunFacet", object{"nominalStartTime": t.UTC()})
	}
	if p := o.parent(h.Graph, in.Parent); p != nil {
		ev.Run.Facets["parent"] = o.facet("1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet", p)
	}
	var params []object
	for _, f := range in.Facts {
		if name, value, _ := strings.Cut(f, "="); strings.HasPrefix(name, "param.") {
			params = append(params, object{"key": name[len("param."):], "value": value})
		}
	}
	if params != nil {
		ev.Run.Facets["executionParameters"] = o.facet("1-0-0/ExecutionParametersRunFacet.json#/$defs/ExecutionParametersRunFacet", object{"parameters": params})
	}
	if commit := in.Fact("git.commit"); commit != "" {
		where := object{"type": "git", "url": "urn:git:" + commit, "version": commit}
		if repo := in.Fact("git.repo"); repo != "" {
			where["repoUrl"] = repo
			if u, err := url.Parse(repo); err == nil && u.Host != "" {
				where["url"] = strings.TrimSuffix(repo, ".git") + "/tree/" + commit
			}
		}
		if branch := in.Fact("git.branch"); branch != "" {
			where["branch"] = branch
		}
		ev.Job.Facets["sourceCodeLocation"] = o.facet("1-1-0/SourceCodeLocationJobFacet.json#/$defs/SourceCodeLocationJobFacet", where)
	}
}

func (o *OpenLineage) ofStatement(ev *olEvent, h Happening) {
	target := h.Conn
	if len(h.Write) > 0 {
		target += "." + h.Graph.Nodes[h.Write[0]].Name
	}
	ev.Job.Name = target
	ev.Run.RunID = nameUUID(h.Graph.Prefix + strconv.FormatUint(h.Seq, 10))
	ev.Job.Facets["jobType"] = o.jobType("QUERY")
	ev.Job.Facets["ownership"] = o.ownership(h.Act)
	ev.Job.Facets["sql"] = o.facet("1-1-0/SQLJobFacet.json#/$defs/SQLJobFacet", object{"query": withoutValues(h.SQL), "dialect": "postgres"})
}

func (o *OpenLineage) jobType(kind string) object {
	return o.facet("2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet", object{"processingType": "BATCH", "integration": "SLUICE", "jobType": kind})
}

// ownership names who ran it, and for whom.
func (o *OpenLineage) ownership(a Act) object {
	kinds := map[string]string{"job": "application:", "agent": "application:"}
	kind, ok := kinds[a.CallerKind]
	if !ok {
		kind = "user:"
	}
	owners := []object{{"name": kind + a.Who, "type": "RUNNER"}}
	if a.Owner != "" {
		owners = append(owners, object{"name": "user:" + a.Owner, "type": "OWNER"})
	}
	return o.facet("1-0-1/OwnershipJobFacet.json#/$defs/OwnershipJobFacet", object{"owners": owners})
}

// parent reads what a run is part of: one of ours, or namespace/job/id.
func (o *OpenLineage) parent(g *Graph, text string) object {
	if text == "" {
		return nil
	}
	namespace, job, id := o.Namespace, "", text
	if n := g.runs(text); n >= 0 {
		job = g.Nodes[n].Info.Job
	} else if i := strings.LastIndexByte(text, '/'); i > 0 {
		rest := text[:i]
		id = text[i+1:]
		if j := strings.LastIndexByte(rest, '/'); j > 0 {
			namespace, job = rest[:j], rest[j+1:]
		} else {
			job = rest
		}
	}
	if job == "" {
		job = "unknown"
	}
	return object{"run": object{"runId": asUUID(id)}, "job": object{"namespace": namespace, "name": job}}
}

// asUUID is id if it is a UUID, else one that is made of it.
func asUUID(id string) string {
	if len(id) == 36 && strings.Count(id, "-") == 4 {
		if _, err := hex.DecodeString(strings.ReplaceAll(id, "-", "")); err == nil && id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-' {
			return id
		}
	}
	return nameUUID(id)
}

// nameUUID makes a UUID of version 8 (RFC 9562, section 5.8) of a name, the same each time.
func nameUUID(name string) string {
	sum := sha256.Sum256([]byte("sluice\x00" + name))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// record is our own facet.
func (o *OpenLineage) record(h Happening) object {
	f := object{"_producer": o.Producer, "_schemaURL": RecordFacetURL, "who": h.Act.Who, "kind": h.Act.CallerKind}
	if h.Act.Owner != "" {
		f["owner"] = h.Act.Owner
	}
	approvers, entries := []string{}, []string{}
	add := func(id string) {
		if len(entries) < 1000 && !slices.Contains(entries, id) {
			entries = append(entries, id)
		}
	}
	for _, i := range h.Edges {
		for _, a := range h.Graph.Acts[h.Graph.Edges[i].By].Approvers {
			if !slices.Contains(approvers, a) {
				approvers = append(approvers, a)
			}
		}
		for _, id := range h.Graph.entries(&h.Graph.Edges[i]) {
			add(id)
		}
	}
	if h.Run >= 0 {
		in := h.Graph.Nodes[h.Run].Info
		add(h.Graph.Prefix + strconv.FormatInt(in.BeganSeq, 10))
	}
	add(h.Graph.Prefix + strconv.FormatUint(h.Seq, 10))
	f["approvers"], f["entries"] = approvers, entries
	return f
}

// datasets are what was read and written, with schema and column lineage.
func (o *OpenLineage) datasets(h Happening) (inputs, outputs []olDataset) {
	inputs, outputs = []olDataset{}, []olDataset{}
	g := h.Graph
	read, made := slices.Clone(h.Reads), slices.Clone(h.Write)
	var given []int32 // edges into the run
	if h.Run >= 0 {
		for _, i := range g.in[h.Run] {
			if g.Edges[i].How == Used && !slices.Contains(read, g.Edges[i].From) {
				read = append(read, g.Edges[i].From)
			}
			if g.Nodes[g.Edges[i].From].Kind == Column || g.Nodes[g.Edges[i].From].Kind == Relation {
				given = append(given, i)
			}
		}
		for _, i := range g.out[h.Run] {
			if g.Edges[i].How == Made && !slices.Contains(made, g.Edges[i].Into) {
				made = append(made, g.Edges[i].Into)
			}
		}
	}
	for _, n := range read {
		inputs = append(inputs, o.dataset(g, n))
	}
	for _, n := range made {
		d := o.dataset(g, n)
		if cl := o.columnLineage(g, n, h, given); cl != nil {
			d.Facets["columnLineage"] = cl
		}
		outputs = append(outputs, d)
	}
	return inputs, outputs
}

// name is a node by the specification's naming.
func (o *OpenLineage) name(g *Graph, n int32) (namespace, name string) {
	node := &g.Nodes[n]
	switch node.Kind {
	case Relation, Column:
		if node.Connection == "" {
			break
		}
		if strings.HasPrefix(node.Name, "pg_temp") {
			return "inmemory://", node.Name
		}
		if at := g.Databases[node.Connection]; at != "" {
			i := strings.LastIndexByte(at, '/')
			return "postgres://" + at[:i], at[i+1:] + "." + node.Name
		}
		return SluiceNamespace + node.Connection, node.Name
	case File:
		at, _, _ := strings.Cut(g.Databases[node.Connection], ":")
		return "file://" + at, node.Name
	case Model:
		return "model", strings.TrimPrefix(node.Name, "model:")
	}
	scheme, rest, ok := strings.Cut(node.Name, "://")
	host, path, _ := strings.Cut(rest, "/")
	switch {
	case !ok:
		return o.Namespace, node.Name
	case scheme == "file":
		return "file", "/" + path
	}
	return scheme + "://" + host, path
}

func (o *OpenLineage) dataset(g *Graph, n int32) olDataset {
	node := &g.Nodes[n]
	d := olDataset{Facets: object{}}
	d.Namespace, d.Name = o.name(g, n)
	if d.Name == "" {
		d.Name = "/"
	}
	var fields []Field
	if node.Kind == Relation && o.Fields != nil {
		fields = o.Fields(node.Connection, node.Name)
	}
	if fields == nil {
		for _, c := range g.kids[n] {
			fields = append(fields, Field{Name: g.Nodes[c].Column})
		}
	}
	if fields != nil {
		d.Facets["schema"] = o.facet("1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet", object{"fields": fields})
	}
	if node.Kind == Model {
		d.Facets["datasetType"] = o.facet("1-0-1/DatasetTypeDatasetFacet.json#/$defs/DatasetTypeDatasetFacet", object{"datasetType": "MODEL"})
	}
	if node.Hash != "" {
		d.Facets["version"] = o.facet("1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet", object{"datasetVersion": node.Hash})
	}
	return d
}

// transformations are the specification's words for how data took an edge. What steers has
// one for each role that it is known in.
func transformations(e *Edge, roles Roles) (list []object) {
	if e.How == Steers && roles != 0 {
		for i, name := range audit.FlowRoles {
			if roles&(1<<i) != 0 {
				list = append(list, object{"type": "INDIRECT", "subtype": strings.ToUpper(name), "masking": e.Masked})
			}
		}
		return list
	}
	t := object{"type": "DIRECT", "masking": e.Masked}
	switch e.How {
	case Direct, Renamed, Sent, Used, Made, Part:
		t["subtype"] = "IDENTITY"
	case Derived:
		t["subtype"] = "TRANSFORMATION"
	case Counted:
		t["subtype"], t["masking"] = "AGGREGATION", true
	case Steers:
		t["type"] = "INDIRECT"
	case Unknown:
		t["description"] = "it could not be traced: any column that was read may be a source"
	}
	return []object{t}
}

// columnLineage is where the columns of an output came from; of an output without
// columns, where it as a whole did.
func (o *OpenLineage) columnLineage(g *Graph, n int32, h Happening, given []int32) object {
	fields, whole := map[string][]object{}, []object{}
	add := func(i int32, into string) {
		e := &g.Edges[i]
		from := &g.Nodes[e.From]
		if from.Kind != Column {
			return
		}
		f := object{"field": from.Column, "transformations": transformations(e, h.Ways[i])}
		f["namespace"], f["name"] = o.name(g, e.From)
		if into == "" {
			whole = append(whole, f)
		} else {
			fields[into] = append(fields[into], f)
		}
	}
	for _, i := range h.Edges {
		e := &g.Edges[i]
		if g.relation(e.Into) == n {
			add(i, g.Nodes[e.Into].Column)
		}
	}
	if k := g.Nodes[n].Kind; k == Model || k == Dataset {
		for _, i := range given {
			add(i, "")
		}
	}
	if len(fields)+len(whole) == 0 {
		return nil
	}
	out := object{}
	for name, list := range fields {
		out[name] = object{"inputFields": list}
	}
	return o.facet("1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet", object{"fields": out, "dataset": whole})
}

// withoutValues is a statement without its constants and comments: events go to systems
// that more people read.
func withoutValues(sql string) string {
	words := tokens(sql)
	for i, w := range words {
		if w[0] == '\'' || w[0] >= '0' && w[0] <= '9' {
			words[i] = "?"
		}
	}
	return strings.Join(words, " ")
}
