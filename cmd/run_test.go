package cmd

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

func TestParentsOfRuns(t *testing.T) {
	airflow := map[string]string{"AIRFLOW_CTX_DAG_ID": "etl", "AIRFLOW_CTX_TASK_ID": "load", "AIRFLOW_CTX_DAG_RUN_ID": "scheduled__2026-01-01T00:00:00+00:00", "AIRFLOW_CTX_LOGICAL_DATE": "2026-01-01T02:00:00+02:00"}
	pipesFile := filepath.Join(t.TempDir(), "context")
	must(t, os.WriteFile(pipesFile, []byte(`{"run_id": "5a1e", "job_name": "nightly", "asset_keys": ["a"]}`), 0o600))
	for _, c := range []struct {
		env             map[string]string
		flag            string
		parent, nominal string
	}{
		{airflow, "", "airflow/etl.load/scheduled__2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00Z"},
		{airflow, "own", "own", "2026-01-01T00:00:00Z"},
		{map[string]string{"OPENLINEAGE_PARENT_ID": "a/b/c", "AIRFLOW_CTX_DAG_ID": "etl", "AIRFLOW_CTX_DAG_RUN_ID": "x"}, "", "a/b/c", ""},
		{map[string]string{"OPENLINEAGE_CONTEXT": `{"parent":{"run":{"runId":"c"},"job":{"namespace":"a","name":"b"}}}`, "OPENLINEAGE_PARENT_ID": "other/o/o"}, "", "a/b/c", ""},
		{map[string]string{"OPENLINEAGE_CONTEXT": `{"parent":`, "OPENLINEAGE_PARENT_ID": "a/b/c"}, "", "a/b/c", ""},
		{map[string]string{runVar: "r", "OPENLINEAGE_PARENT_ID": "a/b/c"}, "", "r", ""},
		{map[string]string{"DBT_CLOUD_RUN_ID": "7", "DBT_CLOUD_JOB_ID": "3"}, "", "dbt_cloud/job_3/7", ""},
		{map[string]string{"DAGSTER_PIPES_CONTEXT": pipes(t, `{"data": {"run_id": "u", "job_name": "all/assets", "extras": {}}}`)}, "", "dagster/all.assets/u", ""},
		{map[string]string{"DAGSTER_PIPES_CONTEXT": pipes(t, `{"data": {"run_id": "u", "job_name": null}}`), "DAGSTER_RUN_JOB_NAME": "etl"}, "", "dagster/etl/u", ""},
		{map[string]string{"DAGSTER_PIPES_CONTEXT": pipes(t, `{"path": "`+pipesFile+`"}`)}, "", "dagster/nightly/5a1e", ""},
		{map[string]string{"DAGSTER_PIPES_CONTEXT": pipes(t, `{"path": "/dev/zero"}`)}, "", "", ""},
		{map[string]string{"DAGSTER_PIPES_CONTEXT": "eJw="}, "", "", ""},
		{map[string]string{"DAGSTER_RUN_JOB_NAME": "etl", "DAGSTER_RUN_STEP_KEY": "load"}, "", "", ""}, // which run is not said
		{map[string]string{"OPENLINEAGE_CONTEXT": `{"parent":{"run":{"runId":"c"},"job":{"namespace":"http://airflow:8080","name":"a/b"},"root":{"run":{"runId":"r"},"job":{"namespace":"n","name":"all"}}}}`}, "", "http://airflow:8080/a.b/c", ""},
		{map[string]string{"AIRFLOW_CTX_EXECUTION_DATE": "yesterday"}, "", "", ""},
	} {
		a := &app{env: func(name string) string { return c.env[name] }}
		if parent, _, nominal := a.parentRun(c.flag); parent != c.parent || nominal != c.nominal {
			t.Errorf("%v: %q %q", c.env, parent, nominal)
		}
	}
}

// pipes is a value as Dagster Pipes writes it.
func pipes(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, err := w.Write([]byte(text))
	must(t, err)
	must(t, w.Close())
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// What a run tells its program is what a run inside of it takes up, with the root that all
// of it began with.
func TestARunInsideOfAnotherFindsIt(t *testing.T) {
	tell := func(outer map[string]string, job, id string) map[string]string {
		t.Helper()
		a := &app{env: func(name string) string { return outer[name] }}
		parent, root, _ := a.parentRun("")
		vars := map[string]string{}
		for _, v := range runEnvironment("gw-1", job, id, parent, root) {
			name, value, _ := strings.Cut(v, "=")
			vars[name] = value
		}
		return vars
	}
	airflow := map[string]string{"OPENLINEAGE_PARENT_ID": "http://airflow:8080/etl.load/x", "OPENLINEAGE_ROOT_PARENT_ID": "http://airflow:8080/etl/w"}
	vars := tell(airflow, "acme/train", "0189")
	if parent, root := contextRun(vars["OPENLINEAGE_CONTEXT"]); parent != "gw-1/acme.train/0189" || root != "http://airflow:8080/etl/w" ||
		vars["OPENLINEAGE_PARENT_ID"] != "gw-1/acme.train/0189" || vars["OPENLINEAGE_ROOT_PARENT_ID"] != "http:..airflow:8080/etl/w" {
		t.Errorf("%v", vars)
	}
	a := &app{env: func(name string) string { return vars[name] }}
	if parent, root, _ := a.parentRun(""); parent != "0189" || root != "http://airflow:8080/etl/w" {
		t.Error(parent, root)
	}
	delete(airflow, "OPENLINEAGE_ROOT_PARENT_ID")
	if vars := tell(airflow, "train", "0189"); vars["OPENLINEAGE_ROOT_PARENT_ID"] != "http:..airflow:8080/etl.load/x" { // the parent is the first
		t.Errorf("%v", vars)
	}
	if vars := tell(nil, "train", "0189"); vars["OPENLINEAGE_ROOT_PARENT_ID"] != "gw-1/train/0189" {
		t.Errorf("%v", vars)
	}
}

func TestSecretsOfACommandAreNotRecorded(t *testing.T) {
	for _, command := range [][]string{
		{"x", "--password=SECRET"}, {"x", "--api-key", "SECRET"}, {"x", "-PASSWORD", "SECRET"}, {"x", "postgres://u:SECRET@h/d"}, {"x", "DB_TOKEN=SECRET"}, {"x", "https://SECRET@h"},
	} {
		if line := commandLine(command); strings.Contains(line, "SECRET") {
			t.Error(line)
		}
	}
	if line := commandLine([]string{"python", "train.py", "--depth=3", "--token-file", "-v", "x"}); line != "python train.py --depth=3 --token-file -v x" {
		t.Error(line)
	}
	if got := withoutPassword("https://me:SECRET@example.com/r.git"); got != "https://example.com/r.git" {
		t.Error(got)
	}
}

func TestHashesOfDirectories(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "a"), []byte("1"), 0o600))
	one, err := hashPath(dir)
	must(t, err)
	must(t, os.Chtimes(filepath.Join(dir, "sub", "a"), time.Unix(0, 0), time.Unix(0, 0)))
	same, err := hashPath(dir)
	must(t, err)
	must(t, os.Rename(filepath.Join(dir, "sub", "a"), filepath.Join(dir, "sub", "b")))
	other, err := hashPath(dir)
	must(t, err)
	if one != same || one == other || !strings.HasPrefix(one, "sha256-tree:") {
		t.Error(one, same, other)
	}
	if _, err := hashPath("/dev/null"); err == nil {
		t.Error("a device has a hash")
	}
	list, err := inputArtifacts([]string{"s3://u:SECRET@bucket/x", "name=" + filepath.Join(dir, "sub", "b"), "model:base@1"})
	if err != nil || audit.ParseArtifact(list[0]).Name != "s3://bucket/x" || audit.ParseArtifact(list[1]).Hash == "" || audit.ParseArtifact(list[2]).Name != "model:base@1" {
		t.Errorf("%q %v", list, err)
	}
}
