package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// archiveOf packs one file as a release does.
func archiveOf(t *testing.T, name, body string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	pack := tar.NewWriter(zip)
	if err := pack.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(body))}); err != nil {
		t.Fatal(err)
	}
	if _, err := pack.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func releaseName() string { return "sluice_" + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz" }

// runInstaller runs install.sh against a server of these files, in an empty home,
// and gives the path where the program should be.
func runInstaller(t *testing.T, files map[string][]byte, version string) (program, output string, err error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Fatal("install.sh is for linux and macOS: these tests run there")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(body)
	}))
	t.Cleanup(server.Close)
	home := t.TempDir()
	script, err := os.ReadFile("install.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Stdin = bytes.NewReader(script) // as in curl | sh
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "SLUICE_BASE_URL=" + server.URL, "SLUICE_VERSION=" + version}
	out, err := cmd.CombinedOutput()
	return filepath.Join(home, ".local/bin/sluice"), string(out), err
}

func sums(name string, content []byte) []byte {
	return fmt.Appendf(nil, "%064d  other.tar.gz\n%x  %s\n", 0, sha256.Sum256(content), name)
}

func TestInstallTakesAReleaseWithARightChecksum(t *testing.T) {
	archive := archiveOf(t, "sluice", "#!/bin/sh\necho sluice runs\n")
	for version, at := range map[string]string{"v1.2.3": "/download/v1.2.3/", "": "/latest/download/"} {
		program, output, err := runInstaller(t, map[string][]byte{
			at + "checksums.txt": sums(releaseName(), archive), at + releaseName(): archive,
		}, version)
		if err != nil {
			t.Fatalf("version %q: %v\n%s", version, err, output)
		}
		if !strings.Contains(output, "installed "+program) || !strings.Contains(output, "not on your PATH") {
			t.Errorf("output %q", output)
		}
		if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err != nil || string(out) != "sluice runs\n" {
			t.Errorf("the installed program: %q, %v", out, err)
		}
	}
}

func TestInstallRefusesWhatItCannotVerify(t *testing.T) {
	good := archiveOf(t, "sluice", "#!/bin/sh\n")
	evil := archiveOf(t, "sluice", "#!/bin/sh\necho evil\n")
	other := archiveOf(t, "something-else", "x")
	const at = "/download/v1/"
	release := func(checksums, archive []byte) map[string][]byte {
		files := map[string][]byte{}
		if checksums != nil {
			files[at+"checksums.txt"] = checksums
		}
		if archive != nil {
			files[at+releaseName()] = archive
		}
		return files
	}
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"swapped archive", release(sums(releaseName(), good), evil), "is not what was released"},
		{"truncated archive", release(sums(releaseName(), good), good[:len(good)/2]), "is not what was released"},
		{"empty archive", release(sums(releaseName(), good), []byte{}), "is not what was released"},
		{"no such version", nil, "cannot fetch"},
		{"no checksums", release(nil, good), "cannot fetch"},
		{"no archive", release(sums(releaseName(), good), nil), "cannot fetch"},
		{"empty checksums", release([]byte{}, good), "no single sha256"},
		{"checksum of another file only", release(sums("x"+releaseName(), good), good), "no single sha256"},
		{"two checksums for one file", release(append(sums(releaseName(), good), sums(releaseName(), evil)...), evil), "no single sha256"},
		{"archive without the program", release(sums(releaseName(), other), other), "holds no sluice program"},
	} {
		t.Run(c.name, func(t *testing.T) {
			program, output, err := runInstaller(t, c.files, "v1")
			if err == nil || !strings.Contains(output, c.want) {
				t.Errorf("%v, output %q, want an error with %q", err, output, c.want)
			}
			if _, err := os.Stat(program); !os.IsNotExist(err) {
				t.Errorf("something was installed: %v", err)
			}
		})
	}
}

// A download cut anywhere must not run half of the script.
func TestInstallCutShortDoesNothing(t *testing.T) {
	script, err := os.ReadFile("install.sh")
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.LastIndex(script, []byte("main \"$@\""))
	for cut := end; cut > 0; cut -= 401 {
		home := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "sh")
		cmd.Stdin, cmd.Dir = bytes.NewReader(script[:cut]), home
		cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "SLUICE_BASE_URL=http://127.0.0.1:1"}
		if out, _ := cmd.CombinedOutput(); bytes.Contains(out, []byte("install sluice:")) || bytes.Contains(out, []byte("installed")) {
			t.Errorf("cut at %d it did something: %s", cut, out)
		}
		if left, err := os.ReadDir(home); err != nil || len(left) != 0 {
			t.Errorf("cut at %d it left %v, %v", cut, left, err)
		}
	}
}

func TestInstallBuildsFromACheckout(t *testing.T) {
	checkout, home := t.TempDir(), t.TempDir()
	script, err := os.ReadFile("install.sh")
	if err != nil {
		t.Fatal(err)
	}
	// A checkout in miniature: the real one takes minutes to build cold.
	for name, body := range map[string]string{
		"install.sh": string(script),
		"go.mod":     "module " + module + "\n\ngo 1.26\n",
		"main.go":    "package main\n\nfunc main() { println(\"built here\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(checkout, name), []byte(body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bindir := filepath.Join(home, "programs")
	cmd := exec.CommandContext(t.Context(), "sh", "install.sh")
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), "BINDIR="+bindir, "SLUICE_BASE_URL=", "SLUICE_VERSION=", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "building from this checkout") {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(bindir, "sluice")).CombinedOutput(); err != nil || string(out) != "built here\n" {
		t.Errorf("the built program: %q, %v", out, err)
	}
}
