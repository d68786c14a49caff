package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTests are those of a row: "client: TestA, TestB; cmd: TestC".
var namedTests = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)

// Every test that docs/security-tests.md names is there, in the package that it says.
func TestSecurityTestsExist(t *testing.T) {
	text, err := os.ReadFile("docs/security-tests.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]map[string]bool{}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "---") || strings.TrimSpace(cells[2]) == "Tests" {
			continue
		}
		rows++
		if !namedTests.MatchString(cells[2]) {
			t.Errorf("%s: it names no test", cells[0])
		}
		for part := range strings.SplitSeq(cells[2], ";") {
			pkg, names, ok := strings.Cut(strings.TrimSpace(part), ": ")
			if !ok {
				t.Errorf("%q does not say which package", part)
				continue
			}
			if have[pkg] == nil {
				have[pkg] = testsOf(t, pkg)
			}
			for _, name := range namedTests.FindAllString(names, -1) {
				if !have[pkg][name] {
					t.Errorf("%s: there is no %s in %s", cells[0], name, pkg)
				}
			}
		}
	}
	if rows < 30 {
		t.Errorf("%d rows were read: the table is not what is looked at", rows)
	}
}

// testsOf are the tests and fuzz targets of a package.
func testsOf(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(pkg), "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the package %q has no tests: %v", pkg, err)
	}
	out := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				out[fn.Name.Name] = true
			}
		}
	}
	return out
}
