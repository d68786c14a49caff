package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What people read says durations as internal/howlong writes them. A time.Duration that is
// given to a parameter of any kind, as those of fmt are, would be said as 168h0m0s; the log
// is for programs, and may.
func TestDurationsAreWrittenAsPeopleDo(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly", "./...")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	type compiled struct {
		listed
		Export  string
		DepOnly bool
	}
	exports, own := map[string]string{}, []compiled{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p compiled
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if name := short(p.ImportPath); !p.DepOnly && !strings.HasPrefix(name, "internal/") {
			own = append(own, p)
		}
	}
	fset := token.NewFileSet()
	from := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	seen := 0
	for _, p := range own {
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
		if _, err := (&types.Config{Importer: from}).Check(p.ImportPath, fset, files, info); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					seen++
					if fun := types.ExprString(call.Fun); fun == "r.For.String" && p.ImportPath == module+"/approval" {
						return true // what people agreed to is bound to this form of it
					}
					for _, e := range saidDurations(call, info) {
						t.Errorf("%s: %s would be said as Go does: give it to howlong.Text or About", fset.Position(e.Pos()), types.ExprString(e))
					}
				}
				return true
			})
		}
	}
	if seen < 10_000 {
		t.Errorf("only %d calls were looked at", seen)
	}
}

// saidDurations are the durations that a call writes as Go does.
func saidDurations(call *ast.CallExpr, info *types.Info) (out []ast.Expr) {
	is := func(e ast.Expr) bool { return fmt.Sprint(info.Types[e].Type) == "time.Duration" }
	if f, ok := call.Fun.(*ast.SelectorExpr); ok {
		if f.Sel.Name == "String" && is(f.X) {
			return []ast.Expr{f.X}
		}
		if o := info.Uses[f.Sel]; o != nil && o.Pkg() != nil && o.Pkg().Path() == "log/slog" {
			return nil
		}
	}
	sig, ok := info.Types[call.Fun].Type.(*types.Signature)
	if !ok {
		return nil
	}
	for i, arg := range call.Args {
		last := sig.Params().Len() - 1
		to := sig.Params().At(min(i, last)).Type()
		if sig.Variadic() && i >= last && !call.Ellipsis.IsValid() {
			to = to.(*types.Slice).Elem()
		}
		if is(arg) && types.IsInterface(to) {
			out = append(out, arg)
		}
	}
	return out
}
