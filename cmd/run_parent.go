package cmd

import (
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"
)

// Where the names of these variables come from: OPENLINEAGE_CONTEXT, OPENLINEAGE_PARENT_ID
// and OPENLINEAGE_ROOT_PARENT_ID from OpenLineage's own integrations (the first is a
// ParentRunFacet as JSON, the others are namespace/job/run); AIRFLOW_CTX_* from Airflow,
// which calls the date LOGICAL_DATE since 3.0 and EXECUTION_DATE before; DBT_CLOUD_* from
// dbt's documentation. Dagster tells a process its run in the protocol of Pipes, in
// DAGSTER_PIPES_CONTEXT; DAGSTER_RUN_JOB_NAME, which its launchers set, says only the job.

// parentRun is the run that this one is part of, by the flag, by sluice itself, or by what
// orchestrators put into the environment; the run that all of it began with, "" if none is
// told; and the time that it is for, if they say so.
func (a *app) parentRun(flag string) (parent, root, nominal string) {
	nominal = a.env("AIRFLOW_CTX_LOGICAL_DATE")
	if nominal == "" {
		nominal = a.env("AIRFLOW_CTX_EXECUTION_DATE")
	}
	if t, err := time.Parse(time.RFC3339Nano, nominal); err == nil {
		nominal = t.UTC().Format(time.RFC3339Nano)
	} else {
		nominal = ""
	}
	told, toldRoot := contextRun(a.env("OPENLINEAGE_CONTEXT"))
	if told == "" {
		told, toldRoot = a.env("OPENLINEAGE_PARENT_ID"), a.env("OPENLINEAGE_ROOT_PARENT_ID")
	}
	own := a.env(runVar)
	switch {
	case flag != "":
		return cutTo(flag, maxParent), "", nominal
	case own != "": // sluice told the root beside it
		return cutTo(own, maxParent), cutTo(toldRoot, maxParent), nominal
	case told != "":
		return cutTo(told, maxParent), cutTo(toldRoot, maxParent), nominal
	}
	if dag, id := a.env("AIRFLOW_CTX_DAG_ID"), a.env("AIRFLOW_CTX_DAG_RUN_ID"); dag != "" && id != "" {
		if task := a.env("AIRFLOW_CTX_TASK_ID"); task != "" {
			dag += "." + task
		}
		return runName("airflow", dag, id), "", nominal
	}
	if id := a.env("DBT_CLOUD_RUN_ID"); id != "" {
		return runName("dbt_cloud", "job_"+a.env("DBT_CLOUD_JOB_ID"), id), "", nominal
	}
	if job, id := dagsterRun(a.env("DAGSTER_PIPES_CONTEXT")); id != "" {
		if job == "" {
			job = a.env("DAGSTER_RUN_JOB_NAME")
		}
		if job == "" {
			job = "run"
		}
		return runName("dagster", job, id), "", nominal
	}
	return "", "", nominal
}

// maxParent is less than the gateway takes.
const maxParent = 700

// runName is namespace/job/id. Only a namespace, which may be a URI, has slashes.
func runName(namespace, job, id string) string {
	slash := strings.NewReplacer("/", ".").Replace
	return cutTo(namespace+"/"+slash(job)+"/"+slash(id), maxParent)
}

// readRunName is runName in parts.
func readRunName(text string) (namespace, job, id string, ok bool) {
	parts := strings.Split(text, "/")
	n := len(parts)
	if n < 3 || slices.Contains(parts[n-2:], "") {
		return "", "", "", false
	}
	return strings.Join(parts[:n-2], "/"), parts[n-2], parts[n-1], true
}

// contextRun reads the parent in OPENLINEAGE_CONTEXT, and its root; "" if there is none.
func contextRun(text string) (parent, root string) {
	var c struct {
		Parent *lineageRun `json:"parent"`
	}
	if text == "" || json.Unmarshal([]byte(text), &c) != nil {
		return "", ""
	}
	parent = c.Parent.name()
	if parent != "" {
		root = c.Parent.Root.name()
	}
	return parent, root
}

func (r *lineageRun) name() string {
	if r == nil || r.Run.RunID == "" || r.Job.Name == "" {
		return ""
	}
	return runName(r.Job.Namespace, r.Job.Name, r.Run.RunID)
}

// maxPipes bounds what is read of a context of Dagster Pipes: it has what a person gave the
// process besides.
const maxPipes = 4 << 20

// dagsterRun reads the run of which a process is part from the variable that Dagster Pipes
// gives it: JSON, compressed and in base64, with the context itself or the path to it.
func dagsterRun(text string) (job, id string) {
	type pipesRun struct {
		RunID   string  `json:"run_id"`
		JobName *string `json:"job_name"`
	}
	var params struct {
		Path string    `json:"path"`
		Data *pipesRun `json:"data"`
	}
	raw, err := zlib.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)))
	if text == "" || err != nil || json.NewDecoder(io.LimitReader(raw, maxPipes)).Decode(&params) != nil {
		return "", ""
	}
	run := params.Data
	if params.Path != "" {
		file, err := readFile(params.Path, maxPipes)
		run = &pipesRun{}
		if err != nil || json.Unmarshal([]byte(file), run) != nil {
			return "", ""
		}
	}
	if run == nil {
		return "", ""
	}
	if run.JobName != nil {
		job = *run.JobName
	}
	return job, run.RunID
}
