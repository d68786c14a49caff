package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/audit"
)

func TestParentsOfRuns(t *testing.T) {
	airflow := map[string]string{"AIRFLOW_CTX_DAG_ID": "etl", "AIRFLOW_CTX_TASK_ID": "load", "AIRFLOW_CTX_DAG_RUN_ID": "scheduled__2026-01-01T00:00:00+00:00", "AIRFLOW_CTX_LOGICAL_DATE": "2026-01-01T02:00:00+02:00"}
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
		{map[string]string{"DAGSTER_RUN_ID": "u", "DAGSTER_RUN_JOB_NAME": "all/assets"}, "", "dagster/all.assets/u", ""},
		{map[string]string{"AIRFLOW_CTX_EXECUTION_DATE": "yesterday"}, "", "", ""},
	} {
		a := &app{env: func(name string) string { return c.env[name] }}
		if parent, nominal := a.parentRun(c.flag); parent != c.parent || nominal != c.nominal {
			t.Errorf("%v: %q %q", c.env, parent, nominal)
		}
	}
}

// What a run tells its program is what a run inside of it takes up.
func TestARunInsideOfAnotherFindsIt(t *testing.T) {
	vars := map[string]string{}
	for _, v := range runEnvironment("gw-1", "acme/train", "0189", "airflow/etl/x") {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	if contextRun(vars["OPENLINEAGE_CONTEXT"]) != "gw-1/acme/train/0189" || vars["OPENLINEAGE_PARENT_ID"] != "gw-1/acme.train/0189" || vars["OPENLINEAGE_ROOT_PARENT_ID"] != "airflow/etl/x" {
		t.Errorf("%v", vars)
	}
	a := &app{env: func(name string) string { return vars[name] }}
	if parent, _ := a.parentRun(""); parent != "0189" {
		t.Error(parent)
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
