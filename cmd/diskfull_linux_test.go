package cmd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/identity"
)

// fillDisk has the system say of every further write to files below dir that no space
// is left, as it does of /dev/full.
func fillDisk(t *testing.T, dir string) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, fd := range open {
		path, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err != nil || !strings.HasPrefix(path, dir+"/") || !strings.HasSuffix(path, ".jsonl") {
			continue
		}
		number, err := strconv.Atoi(fd.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(full.Fd()), number, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		found++
	}
	if found != 1 {
		t.Fatalf("%d files of entries are open", found)
	}
}

// When the disk under the record is full, nothing runs unrecorded: each session is told
// why it ends, those that do something and those that do not; so is whoever runs the
// gateway. With room it starts again, with all that was recorded.
func TestDiskFullUnderTheRecord(t *testing.T) {
	w := newTown(t)
	r := opened(t, w.home, "orders", "-o", "json")
	busy, idle := sessionOf(t, r.URL), sessionOf(t, r.URL)
	if _, err := idle.Exec(t.Context(), "begin; insert into people values (1001, 'x', 1)").ReadAll(); err != nil {
		t.Fatal(err)
	}
	held := sessionOf(t, r.URL)
	sent := make(chan error, 1)
	go func() {
		_, err := held.Exec(context.Background(), "alter table people add column unseen int").ReadAll()
		sent <- err
	}()
	approver := identity.Identity{Subject: "bob", Kind: identity.Person, Groups: []string{"boss", "dba"}, Expires: time.Now().Add(time.Hour)}
	for len(w.house.gateway.Asks(approver)) == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nothing waits for people")
		}
		runtime.Gosched()
	}
	if err := w.house.record.Seal(t.Context()); err != nil { // nothing else is on its way to the disk
		t.Fatal(err)
	}
	w.broken = true
	fillDisk(t, w.dir)

	told := func(what string, err error) {
		t.Helper()
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Severity != "FATAL" || pg.Code != "58030" || !strings.Contains(pg.Message, "record can no longer be written") || pg.Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := busy.Exec(t.Context(), "insert into people values (1002, 'x', 1)").ReadAll()
	told("the session that did something", err)
	_, err = idle.ReceiveMessage(t.Context())
	told("the session that did nothing", err)
	told("the session that waited for people", <-sent)
	select {
	case err = <-w.serves:
		w.serves <- nil
	case <-time.After(20 * time.Second):
		t.Fatal("the gateway goes on")
	}
	sentence, hint, code := explainError(err)
	if want := "the record in " + filepath.Join(w.dir, "record") + " can no longer be written, so the gateway has stopped: no space left on device"; sentence != want || hint == "" || code != exitError {
		t.Errorf("who runs it is told %q, hint %q, code %d", sentence, hint, code)
	}
	direct, err := pgx.Connect(t.Context(), w.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(t.Context())
	var people, columns int
	if err := direct.QueryRow(t.Context(), "select (select count(*) from people), (select count(*) from pg_attribute where attrelid = 'people'::regclass and attnum > 0)").Scan(&people, &columns); err != nil || people != 50 || columns != 3 {
		t.Errorf("%d people of %d columns, %v: it ran unrecorded", people, columns, err)
	}
	if code, out, errs := w.run(t.TempDir(), "", "audit", "verify", "--dir", filepath.Join(w.dir, "record")); code != exitOK || !strings.HasPrefix(out, "ok: ") {
		t.Errorf("the record: %d, %s%s", code, out, errs)
	}
	again, err := (&app{now: time.Now}).openHouse(t.Context(), houseConfig{dir: w.dir, log: new(said)})
	if err != nil {
		t.Fatalf("with room it does not start: %v", err)
	}
	if err := again.record.Close(); err != nil {
		t.Error(err)
	}
}
