package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A copy of the record is enough for a report, and what is asked for wrongly is said.
func TestReportOfACopy(t *testing.T) {
	dir := t.TempDir()
	oldRecord(t, dir, houseConfig{})
	record := filepath.Join(dir, "record")
	w := &town{t: t}
	page := filepath.Join(t.TempDir(), "page.html")
	for _, c := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"report", "--for", "hipaa", "--record", record, "--key", filepath.Join(record, "log.vkey"), "--file", page}, exitOK, "", "entries 0 to"},
		{[]string{"report", "--for", "pci", "--record", record}, exitOK, "<!DOCTYPE html>", ""},
		{[]string{"report", "--for", "soc2", "--record", record, "-o", "json"}, exitOK, `"checkpoint"`, ""},
		{[]string{"report", "--for", "soc", "--record", record}, exitUsage, "", "did you mean"},
		{[]string{"report", "--for", "soc2", "--record", record, "--since", "2026-02-01", "--until", "2026-01-01"}, exitUsage, "", "before --until"},
		{[]string{"report", "--for", "soc2", "--record", t.TempDir()}, exitError, "", "there is no record"},
	} {
		code, out, errs := w.run(t.TempDir(), "", append([]string{"audit"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
			t.Errorf("%s: exit %d, want %d\n%.300s\n%s", strings.Join(c.args, " "), code, c.code, out, errs)
		}
	}
	text, err := os.ReadFile(page)
	must(t, err)
	if !strings.Contains(string(text), "may read the whole record") || !strings.Contains(string(text), "45 CFR") {
		t.Error("the page does not say who may read the record")
	}
}
