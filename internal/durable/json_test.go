package durable

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type kept struct {
	Names []string `json:"names"`
}

func TestJSONIsReadAsWritten(t *testing.T) {
	f := JSON{Path: filepath.Join(t.TempDir(), "kept.json"), What: "names", Most: 100, Strict: true}
	var got kept
	if found, err := f.Read(&got); found || err != nil {
		t.Errorf("before there is one: %t, %v", found, err)
	}
	if err := f.Write(kept{[]string{"ada"}}); err != nil {
		t.Fatal(err)
	}
	if found, err := f.Read(&got); !found || err != nil || len(got.Names) != 1 || got.Names[0] != "ada" {
		t.Errorf("%t, %v, %v", found, err, got)
	}
	if err := f.Write(kept{[]string{strings.Repeat("x", 200)}}); err == nil || !strings.Contains(err.Error(), "names take") {
		t.Errorf("one that is too long: %v", err)
	}
	if _, err := f.Read(&got); err != nil || got.Names[0] != "ada" {
		t.Errorf("the old one is gone: %v", err)
	}
	for _, bad := range []string{"", "{", `{"names": []} {}`, `{"other": 1}`, strings.Repeat(" ", 101)} {
		if err := os.WriteFile(f.Path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read(&got); err == nil || !strings.HasPrefix(err.Error(), "read names: "+f.Path) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	f.Path = ""
	if found, err := f.Read(&got); found || err != nil || f.Write(got) != nil {
		t.Error("without a path something is kept")
	}
}
