package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// How values of one column reach another, or the result.
const (
	FlowDirect  = "direct"  // the value itself
	FlowDerived = "derived" // through an expression
	FlowCounted = "counted" // no more than whether it is there
	FlowSteers  = "steers"  // it only decides which rows, and in which order
	FlowUnknown = "unknown" // could not be traced: any of it may
)

// FlowRoles are what columns that steer do, named as OpenLineage names them.
var FlowRoles = []string{"join", "filter", "group_by", "sort", "window", "conditional"}

// Flow is a way that values take in a statement. Of a statement that writes nothing, a
// column of Reads that is in no flow comes out as it is; of one that writes, all ways are
// listed.
type Flow struct {
	Into   string   // column, or relation, that is written: schema.table.column; "" is the result, which the caller gets
	How    string   // one of the above
	Masked bool     // of a result: the caller was given something else in its place
	Roles  []string // of what steers: as what, of FlowRoles in their order; none if it is not known
	From   []string // columns, or relations; none if nothing is known but that something may flow
}

// maxFlow is the length that a text of a flow does not exceed by much: lists of the
// record may cut longer texts, and a flow that was cut would name something else.
const maxFlow = 512

var (
	flowEscape   = strings.NewReplacer("%", "%25", " ", "%20")
	flowUnescape = strings.NewReplacer("%20", " ", "%25", "%")
)

// flowResult stands for the result. A name cannot be that: a relation has its schema's
// before it, or is escaped.
const flowResult = "-"

// FormatFlows writes flows as events have them: "INTO HOW FROM…", with "-" for the
// result, "+masked" or "+join+filter" after how, and spaces in names as %20. A long flow becomes several.
func FormatFlows(flows []Flow) (out []string) {
	for _, f := range flows {
		head := flowResult
		if f.Into != "" {
			head = flowEscape.Replace(f.Into)
			if head == flowResult {
				head = "%2d"
			}
		}
		head += " " + f.How
		if f.Masked {
			head += "+masked"
		}
		for _, role := range f.Roles {
			head += "+" + role
		}
		text := head
		for _, from := range f.From {
			if len(text) > maxFlow {
				out = append(out, text)
				text = head
			}
			text += " " + flowEscape.Replace(from)
		}
		out = append(out, text)
	}
	return out
}

// ParseFlow reads one text of Event.Flows.
func ParseFlow(s string) (Flow, error) {
	parts := strings.Split(s, " ")
	if len(parts) < 2 || parts[0] == "" {
		return Flow{}, errors.New("not a flow: it has no target and no kind")
	}
	f := Flow{}
	switch parts[0] {
	case flowResult:
	case "%2d":
		f.Into = flowResult
	default:
		f.Into = flowUnescape.Replace(parts[0])
	}
	how := strings.Split(parts[1], "+")
	f.How = how[0]
	for _, more := range how[1:] {
		switch {
		case more == "masked" && !f.Masked && f.Roles == nil:
			f.Masked = true
		case f.How == FlowSteers && slices.Index(FlowRoles, more) > slices.Index(FlowRoles, lastOf(f.Roles)):
			f.Roles = append(f.Roles, more)
		default:
			return Flow{}, fmt.Errorf("not a flow: %q says nothing of a way that values take", more)
		}
	}
	switch f.How {
	case FlowDirect, FlowDerived, FlowCounted, FlowSteers, FlowUnknown:
	default:
		return Flow{}, fmt.Errorf("not a flow: %q is no way that values take", f.How)
	}
	for _, from := range parts[2:] {
		if from == "" {
			return Flow{}, errors.New("not a flow: it has an empty name")
		}
		f.From = append(f.From, flowUnescape.Replace(from))
	}
	return f, nil
}

func lastOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}

// Artifact is a data set that a run reads or makes, by the word of its caller: a model, a
// file, an object elsewhere.
type Artifact struct {
	Name string // "model:churn@v3", "s3://bucket/key", or "namespace name" of OpenLineage
	Hash string // "sha256:…" of its content, or ""
	Path string // file that was hashed, or ""
}

// String is the artifact as events have it: name, hash and path, set apart by tabs.
func (a Artifact) String() string {
	clean := strings.NewReplacer("\t", " ", "\n", " ").Replace
	return strings.TrimRight(clean(a.Name)+"\t"+clean(a.Hash)+"\t"+clean(a.Path), "\t")
}

// ParseArtifact reads one text of Event.Inputs or Outputs.
func ParseArtifact(s string) Artifact {
	name, rest, _ := strings.Cut(s, "\t")
	hash, path, _ := strings.Cut(rest, "\t")
	return Artifact{Name: name, Hash: hash, Path: path}
}
