package api

import "time"

// JobRunStart says that a run of a job begins. All of it is the caller's word; the gateway
// binds it to who they are.
type JobRunStart struct {
	Job     string   `json:"job"`               // its name
	Parent  string   `json:"parent,omitempty"`  // run that it is part of: its id, or namespace/job/id of one elsewhere
	Command string   `json:"command,omitempty"` // what runs
	Inputs  []string `json:"inputs,omitempty"`  // audit.Artifact as text
	Facts   []string `json:"facts,omitempty"`   // "name=value": commit, parameters
	Beats   bool     `json:"beats,omitempty"`   // it will be said that the run goes on, as often as JobRunStarted.BeatMS says; a silent one is lost
}

// JobRunStarted is the run that began.
type JobRunStarted struct {
	ID    string    `json:"id"` // UUID of version 7
	Began time.Time `json:"began"`

	BeatMS int64 `json:"beat_ms,omitempty"` // milliseconds between two words that it goes on; 0 if nobody waits for them
}

// JobRunEnd says how a run ended.
type JobRunEnd struct {
	Outcome string   `json:"outcome"` // ok or error
	Error   string   `json:"error,omitempty"`
	Inputs  []string `json:"inputs,omitempty"`  // that were found out meanwhile
	Outputs []string `json:"outputs,omitempty"` // what it made
	Facts   []string `json:"facts,omitempty"`   // "exit=0"
}

// LineageProve asks for what proves edges of a graph, for auditors only.
type LineageProve struct {
	Edge   string    `json:"edge,omitempty"` // one edge, by its ID; then Target and the others do not count
	Target string    `json:"target,omitempty"`
	Up     bool      `json:"up,omitempty"`
	Depth  int       `json:"depth,omitempty"`
	At     time.Time `json:"at,omitzero"`
	Steers bool      `json:"steers,omitempty"`
}

// LineageImport brings OpenLineage events of pipelines elsewhere, for auditors only.
type LineageImport struct {
	Events []string `json:"events"` // JSON of one event each
}

// LineageImported says what was taken.
type LineageImported struct {
	Taken   int      `json:"taken"`
	Skipped []string `json:"skipped,omitempty"` // why others were not, a sentence each
}
