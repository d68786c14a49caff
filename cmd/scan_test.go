package cmd

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// A person says once what a column of a database of their own holds; the next scan
// with the same file shows it.
func TestMaskSetIsSeenByTheNextScan(t *testing.T) {
	dsn, labels := pgtest.Database(t), filepath.Join(t.TempDir(), "labels.json")
	pgtest.Exec(t, dsn, "create table parts (id int, code text); insert into parts select i, 'p' || i || '@example.org' from generate_series(1, 50) i")
	w := newTown(t)
	scan := func(args ...string) gateway.Scanned {
		t.Helper()
		code, out, errs := w.run(t.TempDir(), "", append([]string{"mask", "scan", "--dsn", dsn, "-o", "json"}, args...)...)
		if code != exitOK {
			t.Fatalf("exit %d: %s", code, errs)
		}
		found := map[string]gateway.Scanned{}
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			t.Fatal(err)
		}
		return found["public.parts.code"]
	}
	if s := scan(); !s.PII || s.Type != "email" || s.Where != "whole" || s.State != "personal" {
		t.Fatalf("at first: %+v", s)
	}
	code, _, errs := w.run(t.TempDir(), "", "mask", "set", "--dsn", dsn, "--labels", labels, "public.parts.code", "--as", "none", "--reason", "numbers of parts")
	if code != exitOK || !strings.Contains(errs, "public.parts.code is clean from now on") {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if s := scan("--labels", labels); s.PII || s.State != "clean" || !s.Overruled || !strings.Contains(s.Evidence, "numbers of parts") {
		t.Errorf("with the file: %+v", s)
	}
	if s := scan(); !s.PII {
		t.Errorf("without the file: %+v", s)
	}
	for _, args := range [][]string{
		{"public.parts.code", "--reason", "x"}, {"public.parts.code", "--as", "none"}, {"public.parts.code", "--labels", labels, "--as", "colour", "--reason", "x"},
		{"public.parts.code", "--labels", labels, "--as", "none"},
	} {
		code, _, errs := w.run(t.TempDir(), "", append([]string{"mask", "set", "--dsn", dsn}, args...)...)
		if code != exitUsage || !strings.Contains(errs, "hint: ") {
			t.Errorf("%q: exit %d, %s", args, code, errs)
		}
	}
}

func TestMaskSetIsForAdministrators(t *testing.T) {
	w := newTown(t)
	set := []string{"mask", "set", "orders.public.people.email", "--as", "none", "--reason", "made up"}
	if code, _, errs := w.run(w.home, "", set...); code != exitRefused || !strings.Contains(errs, "only administrators") || !strings.Contains(errs, "hint: ") {
		t.Errorf("ada: exit %d, %s", code, errs)
	}
	if code, _, errs := w.run(w.boss, "", set...); code != exitOK || !strings.Contains(errs, "is clean from now on") {
		t.Errorf("boss: exit %d, %s", code, errs)
	}
	if code, out, _ := w.run(w.home, "", "mask", "scan", "orders", "-o", "csv"); code != exitOK || !strings.Contains(out, "public.people.email,false") {
		t.Errorf("exit %d, %s", code, out)
	}
}
