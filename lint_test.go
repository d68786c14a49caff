package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// functionLimit is a screen: a reader sees a function whole.
const functionLimit = 80

// pure packages do no I/O and read no clock: time comes in as an argument.
var pure = []string{"query", "policy", "mask", "lineage", "runbook"}

func TestHouseRules(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "dist") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if ast.IsGenerated(file) {
			return nil
		}
		seen++
		for _, fault := range faults(fset, file, filepath.ToSlash(path)) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("%d files read: the rules are not looking at the program", seen)
	}
}

// faults lists the breaches of the house rules in one file.
func faults(fset *token.FileSet, file *ast.File, path string) []string {
	var out []string
	report := func(node ast.Node, format string, args ...any) {
		out = append(out, fset.Position(node.Pos()).String()+": "+fmt.Sprintf(format, args...))
	}
	test := strings.HasSuffix(path, "_test.go")
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
		if !test && lines > functionLimit {
			report(fn, "%s has %d lines, the limit is %d", fn.Name.Name, lines, functionLimit)
		}
		if fn.Recv == nil && fn.Name.Name == "init" {
			report(fn, "init() hides an order of things: call it by name")
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if fault := forbidden(imported(file, call), path, test); fault != "" {
			report(call, "%s", fault)
		}
		if !test && decodes(call.Sel.Name) && encodes(file) {
			report(call, "%s: pgproto3 encodes; what comes from a network is decoded by our own code", call.Sel.Name)
		}
		return true
	})
	return out
}

// encodes reports whether a file uses pgproto3, of which decodes names what reads.
func encodes(file *ast.File) bool {
	return slices.ContainsFunc(file.Imports, func(spec *ast.ImportSpec) bool { return strings.Contains(spec.Path.Value, "pgproto3") })
}

func decodes(name string) bool {
	switch name {
	case "Decode", "Receive", "ReceiveStartupMessage", "NewFrontend", "NewBackend", "NewChunkReader", "NewChunkReaderConfig":
		return true
	}
	return false
}

// imported is "import/path.Name" when the expression names something of an
// imported package, whatever the package is called in this file.
func imported(file *ast.File, expr *ast.SelectorExpr) string {
	name, ok := expr.X.(*ast.Ident)
	if !ok || name.Obj != nil { // Obj: a variable of that name, not the package
		return ""
	}
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		as := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			as = spec.Name.Name
		}
		if as == name.Name {
			return path + "." + expr.Sel.Name
		}
	}
	return ""
}

func forbidden(used, path string, test bool) string {
	folder, _, _ := strings.Cut(path, "/")
	switch used {
	case "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln":
		// TestMain ends a test process, and main a program: ours, or a tool of its own
		// under internal.
		if path != "main.go" && !test && !(folder == "internal" && strings.HasSuffix(path, "/main.go")) {
			return used + ": only main ends the program"
		}
	case "fmt.Print", "fmt.Printf", "fmt.Println":
		// A test's child process may talk to its parent this way.
		if !test {
			return used + ": write to the streams you were given"
		}
	case "time.Now", "time.Since", "time.Until":
		if slices.Contains(pure, folder) && !test {
			return used + ": " + folder + " is pure, time is an argument"
		}
	case "time.Sleep":
		if test {
			return used + ": wait for the condition, not for a while"
		}
	}
	return ""
}

func TestHouseRulesAreNoticed(t *testing.T) {
	long := "func long() {\n" + strings.Repeat("\tprintln()\n", functionLimit) + "}\n"
	for _, c := range []struct {
		path, src string
		want      int
	}{
		{"gateway/a.go", "import \"os\"\nfunc f() { os.Exit(1) }", 1},
		{"main.go", "import \"os\"\nfunc f() { os.Exit(1) }", 0},
		{"internal/bench/main.go", "import \"os\"\nfunc f() { os.Exit(1) }", 0},
		{"gateway/main.go", "import \"os\"\nfunc f() { os.Exit(1) }", 1},
		{"gateway/a_test.go", "import \"os\"\nfunc f() { os.Exit(1) }", 0},
		{"audit/a.go", "import out \"fmt\"\nfunc f() { out.Println(1) }", 1},
		{"audit/a_test.go", "import \"fmt\"\nfunc f() { fmt.Println(1) }", 0},
		{"audit/a.go", "import \"fmt\"\nfunc f() { fmt.Sprint(1) }", 0},
		{"mask/a.go", "import \"time\"\nvar now = time.Now", 1},
		{"gateway/a.go", "import \"time\"\nvar now = time.Now", 0},
		{"mask/a.go", "func f(time struct{ Now int }) int { return time.Now }", 0},
		{"gateway/a_test.go", "import \"time\"\nfunc f() { time.Sleep(1) }", 1},
		{"gateway/a.go", "func init() {}", 1},
		{"gateway/a.go", "type t struct{}\nfunc (t) init() {}", 0},
		{"gateway/a.go", long, 1},
		{"gateway/a_test.go", long, 0},
	} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, c.path, "package p\n"+c.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := faults(fset, file, c.path); len(got) != c.want {
			t.Errorf("%s %q: faults %q, want %d", c.path, c.src, got, c.want)
		}
	}
}
