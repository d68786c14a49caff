package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/sluicehq/sluice"

// rows is the order that data takes through the program: a package may import
// the rows before its own, never its own and never a later one. A new package is
// a new word here.
var rows = [][]string{
	{"identity", "query", "wire", "audit", "tunnel", "runbooks"},
	{"wire/postgres", "catalog", "mask", "approval", "runbook", "lineage", "api", "audit/index", "audit/export", "audit/town"},
	{"policy", "tui", "client", "store", "audit/report", "lineage/store", "runbook/steps"},
	{"gateway", "mcp"},
	{"cmd"},
	{"."}, // main
}

// listed is the part of `go list -json` that the rule needs.
type listed struct {
	ImportPath string
	Dir        string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	var stderr bytes.Buffer
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,Imports,Deps,GoFiles", "./...")
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 { // a folder of tests only has nothing to order
			packages = append(packages, p)
		}
	}
}

func TestImportsFollowTheRows(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 5 {
		t.Fatalf("go list found %d packages: the rule is not looking at the program", len(packages))
	}
	for _, p := range packages {
		for _, complaint := range complaints(p) {
			t.Error(complaint)
		}
	}
}

// complaints says what is wrong with the imports of one package.
func complaints(p listed) []string {
	name := short(p.ImportPath)
	if strings.HasPrefix(name, "internal/") {
		var out []string
		for _, dep := range p.Deps {
			if other := short(dep); other != "" && !strings.HasPrefix(other, "internal/") {
				out = append(out, name+" has no domain meaning, yet depends on "+other)
			}
		}
		return out
	}
	own := rowOf(name)
	if own < 0 {
		return []string{name + " is not in the table of rows in imports_test.go: say where in the order it belongs"}
	}
	var out []string
	for _, imported := range p.Imports {
		other := short(imported)
		if other == "" || strings.HasPrefix(other, "internal/") {
			continue
		}
		if row := rowOf(other); row < 0 || row >= own {
			out = append(out, name+" imports "+other+", which does not come before it")
		}
	}
	return out
}

// short is the path inside the module, "." for its root, "" for others' packages.
func short(path string) string {
	if path == module {
		return "."
	}
	inside, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	return inside
}

func rowOf(name string) int {
	for i, row := range rows {
		for _, pkg := range row {
			if name == pkg {
				return i
			}
		}
	}
	return -1
}

func TestForbiddenImportsAreNoticed(t *testing.T) {
	at := func(name string, imports ...string) listed {
		p := listed{ImportPath: filepath.ToSlash(filepath.Join(module, name))}
		for _, i := range imports {
			p.Imports = append(p.Imports, module+"/"+i)
		}
		p.Deps = p.Imports
		return p
	}
	for _, c := range []struct {
		why  string
		p    listed
		want int
	}{
		{"its own row", at("audit", "query"), 1},
		{"a later row", at("mask", "policy"), 1},
		{"an earlier row", at("policy", "approval", "mask", "identity"), 0},
		{"anyone may use internal", at("audit", "internal/durable"), 0},
		{"internal knows no domain", at("internal/demo", "identity"), 1},
		{"a package nobody placed", at("util"), 1},
		{"an import nobody placed", at("gateway", "util"), 1},
		{"the adapter knows only its protocol's row", at("wire/postgres", "wire", "catalog"), 1},
	} {
		if got := complaints(c.p); len(got) != c.want {
			t.Errorf("%s: %d complaints %q, want %d", c.why, len(got), got, c.want)
		}
	}
}
