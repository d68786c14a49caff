package client

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sluicehq/sluice/api"
)

var here = Local{Host: "127.0.0.1", Port: 15432, User: "sluice", Password: "s3cret", Database: "shop"}

func service(t *testing.T, path, name string, l Local) Marked {
	t.Helper()
	m, err := Service(path, name, l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func put(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func read1(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a person has written stays, byte for byte, whatever is written and taken out.
func TestEntriesOfOthersAreKept(t *testing.T) {
	s := NewStore(t.TempDir(), time.Now)
	const theirs = "# mine\r\n[work]\nhost=db # not a comment\n\n[x]\nport=1\n"
	path := filepath.Join(t.TempDir(), "pg_service.conf")
	put(t, path, theirs, 0o600)
	m := service(t, path, "orders", here)
	newer := here
	newer.Port = 15433
	for _, e := range []Marked{m, m, service(t, path, "orders", newer), service(t, path, "other", here)} {
		if err := e.Write(t.Context(), s, ServiceClash(path, e.Name)); err != nil {
			t.Fatal(err)
		}
	}
	text := read1(t, path)
	if !strings.HasPrefix(text, theirs) || strings.Count(text, "[orders]") != 1 || !strings.Contains(text, "port=15433") {
		t.Errorf("the file is now:\n%s", text)
	}
	// The first connect ends; the entry is another's by now.
	if err := m.Remove(t.Context(), s); err != nil || read1(t, path) != text {
		t.Errorf("took out another's entry, %v:\n%s", err, read1(t, path))
	}
	for _, e := range []Marked{service(t, path, "orders", newer), service(t, path, "other", here)} {
		if err := e.Remove(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(theirs, read1(t, path)); d != "" {
		t.Error(d)
	}
}

func TestEntryIsRefused(t *testing.T) {
	s := NewStore(t.TempDir(), time.Now)
	dir := t.TempDir()
	theirs, cut, open := filepath.Join(dir, "theirs"), filepath.Join(dir, "cut"), filepath.Join(dir, "open")
	put(t, theirs, "  [orders]  \nhost=db\n", 0o600)
	err := service(t, theirs, "orders", here).Write(t.Context(), s, ServiceClash(theirs, "orders"))
	wantError(t, err, api.CodeUsage, "is not ours", "another name")
	m := service(t, cut, "orders", here)
	put(t, cut, m.begin()+"[orders]\n[theirs]\n", 0o600)
	wantError(t, m.Write(t.Context(), s, nil), api.CodeError, "not its end", "by hand")
	if text := read1(t, cut); !strings.Contains(text, "[theirs]") {
		t.Errorf("the file is now:\n%s", text)
	}
	if runtime.GOOS != "windows" {
		put(t, open, "x\n", 0o644)
		err := service(t, open, "orders", here).Write(t.Context(), s, nil)
		wantError(t, err, api.CodeUsage, "others on this machine can read", "chmod 600")
		if strings.Contains(read1(t, open), here.Password) {
			t.Error("the password is there for everyone")
		}
	}
	for _, name := range []string{"", "a]", "a\nhost=evil", "a b", "#"} {
		if _, err := Service(theirs, name, here); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
	}
	evil := here
	evil.Database = "x\nhost=evil"
	if _, err := Service(theirs, "a", evil); err == nil {
		t.Error("a database's name wrote a line")
	}
}

func TestEntryKeepsALinkAndMakesAFileForItsOwner(t *testing.T) {
	s := NewStore(t.TempDir(), time.Now)
	dir := t.TempDir()
	fresh := filepath.Join(dir, "new", ".pgpass")
	if err := Passfile(fresh, "x", here).Write(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(fresh)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(fresh, link); err != nil {
		t.Fatal(err)
	}
	put(t, fresh, "*:*:*:*:theirs\n", 0o600)
	if err := Passfile(link, "a:b", Local{Host: "a:b", Port: 1, User: `u\`, Password: "p:w"}).Write(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if lines := strings.Split(read1(t, fresh), "\n"); lines[1] != `a\:b:1:*:u\\:p\:w` || lines[3] != "*:*:*:*:theirs" {
		t.Errorf("%q", lines)
	}
}

func TestManyWriteEntriesAtOnce(t *testing.T) {
	s := NewStore(t.TempDir(), time.Now)
	path := filepath.Join(t.TempDir(), "pg_service.conf")
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			m, err := Service(path, fmt.Sprintf("s%d", i), here)
			if err == nil {
				err = m.Write(t.Context(), s, nil)
			}
			if err == nil && i%2 == 0 {
				err = m.Remove(t.Context(), s)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := strings.Count(read1(t, path), "\n["); n != 10 {
		t.Errorf("%d entries are there, not 10", n)
	}
}

// Whatever stands in a file: an entry that is written and taken out leaves it as it was.
func FuzzMarked(f *testing.F) {
	m, err := Service("x", "orders", here)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"", "[a]\nhost=b\n", "no line end", m.begin(), m.end(), m.block(), m.block() + m.block(), m.end() + m.begin(), "[x]\n" + m.begin() + "[y]\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rest, err := m.without(text)
		if err != nil {
			return
		}
		if strings.Contains(rest, m.begin()) {
			t.Errorf("%q still has an entry", rest)
		}
		if !strings.Contains(text, m.begin()) && rest != text {
			t.Errorf("%q became %q", text, rest)
		}
		if back := strings.Replace(rest+m.block(), m.block(), "", 1); back != rest && !strings.Contains(rest+m.block(), m.begin()+m.begin()) {
			t.Errorf("%q became %q", rest, back)
		}
	})
}

func TestProfilesOfOthersAreKept(t *testing.T) {
	s := NewStore(t.TempDir(), time.Now)
	home := t.TempDir()
	if path := DBeaver(home, ""); path != "" {
		t.Errorf("found %s where DBeaver never ran", path)
	}
	dir := filepath.Join(home, ".local/share/DBeaverData/workspace6/General/.dbeaver")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := DBeaver(home, "")
	put(t, path, `{"folders":{"a":{}},"connections":{"postgres-jdbc-1":{"name":"mine","n":12345678901234567890,"extra":[1.50]}},"connection-types":{}}`, 0o644)
	p := Profile{Gateway: "gw:8443", Connection: "orders", Env: "prod", Local: here, Passfile: "/home/ada/.pgpass"}
	for range 2 {
		if err := WriteDBeaver(t.Context(), s, path, p, false); err != nil {
			t.Fatal(err)
		}
	}
	text := read1(t, path)
	for _, want := range []string{"12345678901234567890", "1.50", `"folders"`, `"connection-types"`, `"jdbc:postgresql://127.0.0.1:15432/shop"`, `"type": "prod"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, here.Password) || strings.Count(text, "orders (sluice)") != 1 {
		t.Errorf("the file is now:\n%s", text)
	}
	if err := WriteDBeaver(t.Context(), s, path, p, true); err != nil {
		t.Fatal(err)
	}
	var left struct{ Connections map[string]any }
	if err := json.Unmarshal([]byte(read1(t, path)), &left); err != nil || len(left.Connections) != 1 || left.Connections["postgres-jdbc-1"] == nil {
		t.Errorf("left %+v, %v", left, err)
	}
	for _, garbage := range []string{"{", `{"connections":[]}`, "\x00encrypted"} {
		put(t, path, garbage, 0o600)
		wantError(t, WriteDBeaver(t.Context(), s, path, p, false), api.CodeError, "left as it is", "by hand")
		if read1(t, path) != garbage {
			t.Errorf("%q was changed", garbage)
		}
	}
	servers := filepath.Join(s.Dir, "pgadmin.json")
	if err := WritePgAdmin(t.Context(), s, servers, p, false); err != nil || !strings.Contains(read1(t, servers), `"passfile": "/home/ada/.pgpass"`) {
		t.Errorf("%v: %s", err, read1(t, servers))
	}
}
