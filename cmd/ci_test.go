package cmd

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"go.yaml.in/yaml/v3"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgcluster"
)

// example is one file of docs/ci: what it asks the gateway for, and what its job runs.
type example struct {
	workload identity.WorkloadConfig
	env      map[string]string
	steps    [][]string // commands
}

const installs = "curl -fsSL https://raw.githubusercontent.com/sluicehq/sluice/main/install.sh | sh"

// workloadsOf reads the part of a gateway.yaml in the comment that an example begins
// with, through the reader of the gateway itself.
func workloadsOf(t *testing.T, text string) identity.WorkloadConfig {
	t.Helper()
	var lines []string
	for line := range strings.Lines(text) {
		body, comment := strings.CutPrefix(line, "#   ")
		if comment {
			lines = append(lines, body)
		}
	}
	cfg, err := readConfig(writeConfig(t, goodConfig+strings.Join(lines, "")))
	if err != nil {
		t.Fatalf("its gateway.yaml: %v", err)
	}
	if len(cfg.Workloads) != 1 {
		t.Fatalf("it has %d workloads", len(cfg.Workloads))
	}
	return cfg.Workloads[0].workload()
}

func parseExample(t *testing.T, name string, into any) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "ci", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(text)
}

// shell is a command as CI systems run it, but for the line that installs sluice.
func shell(t *testing.T, list [][]string, script string) [][]string {
	t.Helper()
	if strings.TrimSpace(script) == installs {
		return list
	}
	return append(list, []string{"sh", "-e", "-c", script})
}

func gitHubExample(t *testing.T) example {
	var file struct {
		Permissions map[string]string
		Env         map[string]string
		Jobs        map[string]struct {
			Environment string
			Steps       []struct{ Uses, Run string }
		}
	}
	text := parseExample(t, "github-actions.yml", &file)
	if file.Permissions["id-token"] != "write" || file.Jobs["migrate"].Environment != "production" {
		t.Error("the workflow would get no token, or not for its environment")
	}
	ex := example{workload: workloadsOf(t, text), env: file.Env}
	for _, step := range file.Jobs["migrate"].Steps {
		if step.Run != "" {
			ex.steps = shell(t, ex.steps, step.Run)
		}
	}
	return ex
}

func gitLabExample(t *testing.T) example {
	var file struct {
		Migrate struct {
			IDTokens  map[string]struct{ Aud string } `yaml:"id_tokens"`
			Variables map[string]string
			Before    []string `yaml:"before_script"`
			Script    []string
		}
	}
	text := parseExample(t, "gitlab-ci.yml", &file)
	ex := example{workload: workloadsOf(t, text), env: file.Migrate.Variables}
	if file.Migrate.IDTokens["SLUICE_ID_TOKEN"].Aud != ex.workload.Audience {
		t.Error("the job's token is for another audience")
	}
	ex.steps = shell(t, nil, strings.Join(file.Migrate.Before, "\n"))
	ex.steps = shell(t, ex.steps, strings.Join(file.Migrate.Script, "\n"))
	return ex
}

func kubernetesExample(t *testing.T) example {
	var file struct {
		Metadata struct{ Namespace string }
		Spec     struct {
			Template struct {
				Spec struct {
					ServiceAccountName string `yaml:"serviceAccountName"`
					Containers         []struct {
						Command, Args []string
						Env           []struct{ Name, Value string }
					}
					Volumes []struct {
						Projected struct {
							Sources []struct {
								Token struct{ Path, Audience string } `yaml:"serviceAccountToken"`
							}
						}
					}
				}
			}
		}
	}
	text := parseExample(t, "kubernetes-job.yaml", &file)
	ex := example{workload: workloadsOf(t, text), env: map[string]string{}}
	pod := file.Spec.Template.Spec
	if pod.Volumes[0].Projected.Sources[0].Token.Audience != ex.workload.Audience || "system:serviceaccount:"+file.Metadata.Namespace+":"+pod.ServiceAccountName != kubernetesClaims["sub"] {
		t.Error("the pod's token is for another audience or account")
	}
	for _, e := range pod.Containers[0].Env {
		ex.env[e.Name] = e.Value
	}
	ex.steps = [][]string{append(pod.Containers[0].Command, pod.Containers[0].Args...)}
	return ex
}

// The files of docs/ci, run with the environment and the tokens that those systems give.
func TestExamplesOfCI(t *testing.T) {
	is := newCIIssuer(t)
	bin := programsIn(t)
	tokenFile := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct {
		name   string
		ex     example
		claims map[string]any
		env    func(audience string) map[string]string // what the system adds
		who    string
	}{
		{"GitHub Actions", gitHubExample(t), gitHubClaims, func(string) map[string]string {
			return map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": is.URL + "/runner?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": is.runner, "GITHUB_SHA": "6dcb09b", "CI": "true", "GITHUB_ACTIONS": "true"}
		}, "acme/shop@refs/heads/main"},
		{"GitLab CI", gitLabExample(t), gitLabClaims, func(aud string) map[string]string {
			return map[string]string{"SLUICE_ID_TOKEN": is.token(aud, gitLabClaims), "CI_PIPELINE_ID": "574", "CI": "true", "GITLAB_CI": "true"}
		}, "acme/shop@main"},
		{"Kubernetes", kubernetesExample(t), kubernetesClaims, func(aud string) map[string]string {
			if err := os.WriteFile(tokenFile, []byte(is.token([]string{aud}, kubernetesClaims)), 0o600); err != nil {
				t.Fatal(err)
			}
			return map[string]string{"SLUICE_ID_TOKEN_FILE": tokenFile, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
		}, "system:serviceaccount:shop:migrate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := c.ex.workload
			w.Issuer, is.claims = is.URL, c.claims // the real one signs only for real jobs
			town := newTownOf(t, []identity.WorkloadConfig{w}, func(*pgconn.Config) {})
			env := maps.Clone(c.ex.env)
			maps.Copy(env, c.env(w.Audience))
			maps.Copy(env, map[string]string{"SLUICE_GATEWAY": town.addr, "SLUICE_CA_PIN": town.house.fingerprint})
			out := runJob(t, bin, env, c.ex.steps)
			if !strings.Contains(out, "UPDATE 1") {
				t.Errorf("the migration did not run:\n%s", out)
			}
			if c.name == "GitHub Actions" && !strings.Contains(out, "50") {
				t.Errorf("psql did not count:\n%s", out)
			}
			code, found, errs := town.run(town.boss, "", "audit", "query", "--kind", "login", "-o", "json")
			if code != 0 || !strings.Contains(found, `"claims"`) || !strings.Contains(found, `"who": "`+c.who+`"`) {
				t.Errorf("the record does not say which job it was: %d %s %s", code, found, errs)
			}
		})
	}
}

// programsIn gives a directory with sluice and psql in it.
func programsIn(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	servers, err := pgcluster.Find()
	if err != nil {
		t.Fatal(err)
	}
	psql := filepath.Join(servers, "psql")
	if _, err := os.Stat(psql); err != nil {
		if psql, err = exec.LookPath("psql"); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	for name, to := range map[string]string{"sluice": self, "psql": psql} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runJob runs commands one after the other as a job does: in a checkout, with nothing
// of our own environment, and without anybody being logged in.
func runJob(t *testing.T, bin string, env map[string]string, steps [][]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "migration.sql"), []byte("update people set age = age + 1 where id = 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=" + dir, "SLUICE_HOME=" + filepath.Join(dir, "home")}
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	var out bytes.Buffer
	for _, step := range steps {
		cmd := exec.CommandContext(t.Context(), step[0], step[1:]...)
		if step[0] == "sluice" {
			cmd = exec.CommandContext(t.Context(), filepath.Join(bin, "sluice"), step[1:]...)
		}
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, list, &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("%q: %v\n%s", step, err, &out)
		}
	}
	return out.String()
}
