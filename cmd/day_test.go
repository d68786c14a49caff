package cmd

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
)

const dayPolicy = `
rules:
  - name: writes-need-a-second-person
    when: 'statement.writes && !("dba" in who.groups)'
    effect: hold
    approvers: {groups: [dba], count: 1, break_glass: {groups: [oncall]}}
    window: true
    reason: writes in production need a second pair of eyes
`

// day is a gateway that can be stopped and started again, and terminals of people.
type day struct {
	t        *testing.T
	dir, bin string
	homes    map[string]string
	conn     gateway.Connection
	addr     string
	stop     func()
	socket   string
}

// startDay lets ada, who is on call, and bob, who may approve, log in, and opens a
// terminal of 80 by 24 for each.
func startDay(t *testing.T) *day {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatal("there is no tmux on this machine\nhint: make tmux installs it, as make test does")
	}
	// A socket's path must be short.
	short, err := os.MkdirTemp("", "day")
	if err != nil {
		t.Fatal(err)
	}
	d := newDay(t)
	d.bin, d.socket = programsIn(t), filepath.Join(short, "tmux")
	t.Cleanup(func() {
		_ = exec.Command("tmux", "-S", d.socket, "kill-server").Run() // none may be left
		os.RemoveAll(short)
	})
	return d
}

// newDay is the gateway, with ada and bob logged in.
func newDay(t *testing.T) *day {
	t.Helper()
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, townSQL)
	conn, err := devConnection(dsn, "orders", "prod")
	if err != nil {
		t.Fatal(err)
	}
	d := &day{t: t, dir: t.TempDir(), conn: conn, homes: map[string]string{"ada": t.TempDir(), "bob": t.TempDir()}}
	if err := os.WriteFile(filepath.Join(d.dir, "policy.yaml"), []byte(dayPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	h := d.serve("127.0.0.1:0")
	for name, who := range map[string]identity.Identity{
		"ada": {Subject: "ada", Kind: identity.Person, Method: "test", Groups: []string{"oncall"}},
		"bob": {Subject: "bob", Kind: identity.Person, Method: "test", Groups: []string{"dba", "boss"}},
	} {
		if err := h.admit(client.NewStore(d.homes[name], time.Now), d.addr, who, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { d.stop() })
	return d
}

// serve starts the gateway on the same state.
func (d *day) serve(addr string) *house {
	d.t.Helper()
	a := &app{now: time.Now}
	h, err := a.openHouse(d.t.Context(), houseConfig{dir: filepath.Join(d.dir, "gateway"), hosts: []string{"127.0.0.1"}, connections: []gateway.Connection{d.conn},
		policy: filepath.Join(d.dir, "policy.yaml"), log: new(bytes.Buffer), base: gateway.Config{Admins: []string{"boss"}, Auditors: []string{"boss"}}})
	if err != nil {
		d.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		d.t.Fatal(err)
	}
	d.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.serve(ctx, ln) }()
	d.stop = func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Error(err)
		}
	}
	return h
}

func (d *day) tmux(args ...string) string {
	d.t.Helper()
	out, err := exec.CommandContext(d.t.Context(), "tmux", append([]string{"-S", d.socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("tmux %s: %v\n%s", args, err, out)
	}
	return string(out)
}

// open starts a program in a terminal of its own.
func (d *day) open(name, who, command string) {
	d.t.Helper()
	d.tmux("new-session", "-d", "-s", name, "-x", "80", "-y", "24", "-e", "SLUICE_HOME="+d.homes[who],
		"-e", "SLUICE_KEYRING=off", "-e", "PAGER=cat", "-e", "PSQLRC=/dev/null", "-e", "LC_ALL=C.UTF-8", "-e", "HOME="+d.homes[who], "PATH="+d.bin+":$PATH; export PATH; "+command+"; PS1='done> ' exec sh")
}

func (d *day) screen(name string) string { return d.tmux("capture-pane", "-p", "-J", "-t", name) }

// sees waits until all of these stand on a screen.
func (d *day) sees(name string, wants ...string) {
	d.t.Helper()
	var screen string
	for _, want := range wants {
		if !d.until(func() bool { screen = d.screen(name); return strings.Contains(screen, want) }) {
			d.t.Fatalf("%s does not see %q:\n%s", name, want, screen)
		}
	}
}

func (d *day) until(cond func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			return false
		}
	}
	return true
}

// types sends a line, as psql takes it.
func (d *day) types(name, text string) {
	d.t.Helper()
	d.tmux("send-keys", "-t", name, "-l", "--", text+" ") // a last ; would be tmux's own
	d.tmux("send-keys", "-t", name, "Enter")
}

// presses sends keys to the screen, each after it has stood still for as long as the
// guard against mistaken keys asks for.
func (d *day) presses(name string, keys ...string) {
	d.t.Helper()
	for _, k := range keys {
		<-time.After(700 * time.Millisecond)
		d.tmux("send-keys", "-t", name, k)
	}
}

// answers types a reason on the screen, and sends it once the guard lets it.
func (d *day) answers(name, reason string) {
	d.t.Helper()
	d.tmux("send-keys", "-t", name, "-l", "--", reason)
	d.presses(name, "Enter")
}

// ask is the id of the ask that waits.
func (d *day) ask() string {
	d.t.Helper()
	id := ""
	found := regexp.MustCompile(`waiting for approval (\w+) by`)
	if !d.until(func() bool {
		all := found.FindAllStringSubmatch(d.screen("ada"), -1)
		if len(all) > 0 {
			id = all[len(all)-1][1]
		}
		return id != ""
	}) {
		d.t.Fatalf("ada does not wait:\n%s", d.screen("ada"))
	}
	return id
}

// A day of an approver, by keystrokes in a real terminal: statements arrive, are looked
// at, tried, approved, denied and withdrawn; a script is approved ahead of time; sessions
// are watched and ended; the glass is broken; the gateway goes away and comes back; and
// what was done is found again.
func TestAWholeDayAtTheScreen(t *testing.T) {
	d := startDay(t)
	d.open("bob", "bob", "sluice approvals")
	d.sees("bob", "Nothing is waiting.", "bob")
	d.open("ada", "ada", "sluice connect orders -- psql -X -P pager=off")
	d.sees("ada", `Type "help" for help.`)

	// Approve, after a preview.
	d.types("ada", "set sluice.reason = 'ticket 4711: her birthday';")
	d.types("ada", "update people set age = age + 1 where id = 7;")
	id := d.ask()
	d.sees("bob", id, "“ticket 4711: her birthday”", "of 50 rows of public.people", "no statement of this shape was sent here")
	if title := d.tmux("display-message", "-p", "-t", "bob", "#{pane_title}"); strings.TrimSpace(title) != "(1) sluice" {
		t.Errorf("the title is %q", title)
	}
	d.presses("bob", "v", "Enter", "End")
	d.sees("bob", "1 would change", "masked.invalid")
	d.presses("bob", "a")
	d.sees("bob", "Approve "+id+"?")
	d.answers("bob", "happy birthday")
	d.sees("ada", "bob: happy birthday", "UPDATE 1")
	d.sees("bob", "Nothing is waiting.")

	// Deny, with a reason that is read where it was typed.
	d.types("ada", "update people set age = 0 where id < 9;")
	d.sees("bob", "update on orders")
	d.presses("bob", "d")
	d.sees("bob", "Deny ")
	d.answers("bob", "which ticket")
	d.sees("ada", "not approved: denied by bob: which ticket")

	// Withdrawn with Ctrl-C.
	d.types("ada", "delete from people where id = 8;")
	d.sees("bob", "delete on orders")
	d.tmux("send-keys", "-t", "ada", "C-c")
	d.sees("ada", "canceling statement due to user request")
	d.sees("bob", "is over: cancelled")

	// A script, approved by its text before it runs.
	script := filepath.Join(d.dir, "migration.sql")
	if err := os.WriteFile(script, []byte("update people set age = 99 where id = 9;\nupdate people set age = 98 where id = 10;"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.open("laptop", "ada", "sluice request orders -f "+script+" --reason 'release 42'")
	d.sees("laptop", "Asked as r-")
	request := regexp.MustCompile(`r-\w+`).FindString(d.screen("laptop"))
	d.sees("bob", request, "release 42", "set age = 99 where id = 9")
	d.presses("bob", "2")
	d.sees("bob", "a script", "waiting")
	d.presses("bob", "a", "Enter")
	d.sees("bob", "you approved "+request)
	d.types("laptop", "sluice exec orders --request "+request)
	d.sees("laptop", "UPDATE 1")

	// One session, as things happen in it.
	d.presses("bob", "3")
	d.sees("bob", "psql", "idle")
	d.presses("bob", "w")
	d.sees("bob", "watching ada on orders", "live")
	d.types("ada", "select id, email from people where id = 11;")
	d.sees("bob", "select id, email from people where id = 11", "1 row in", "masked.invalid")
	d.presses("bob", "Escape")

	// On call, alone: the glass.
	d.types("ada", "update people set age = 1 where id = 12;")
	d.open("oncall", "ada", "sluice approvals --no-mouse")
	d.sees("oncall", "BREAK-GLASS: in an emergency you may release this yourself")
	d.presses("oncall", "!")
	d.sees("oncall", "BREAK THE GLASS for ")
	d.answers("oncall", "shop is down")
	d.sees("ada", "UPDATE 1")
	d.sees("bob", "!! BREAK-GLASS: ", "ran by ada: shop is down")
	d.presses("bob", "x")

	// The gateway is restarted; the screen says so and comes back by itself.
	addr := d.addr
	d.stop()
	d.sees("bob", "no link to the gateway")
	d.serve(addr)
	if !d.until(func() bool { return !strings.Contains(d.screen("bob"), "no link to the gateway") }) {
		t.Fatalf("it did not come back:\n%s", d.screen("bob"))
	}

	// A session is ended.
	d.types("ada", "select 'back';")
	d.types("ada", "select 'again';")
	d.sees("ada", "again")
	d.presses("bob", "3")
	d.sees("bob", "idle")
	d.presses("bob", "K")
	d.sees("bob", "End s-")
	d.presses("bob", "Enter")
	d.sees("bob", "you ended s-")
	d.types("ada", "select 1;")
	d.sees("ada", "ended by an administrator")

	// What was done is found again, with the rule that applied.
	d.presses("bob", "4")
	d.sees("bob", "Search", "update people set age")
	d.presses("bob", "/", "C-u")
	d.answers("bob", "effect:hold 4711 kind:asked")
	d.sees("bob", "Nothing was found")
	d.presses("bob", "/", "C-u")
	d.answers("bob", "who:ada effect:hold")
	d.sees("bob", "4 found")
	d.presses("bob", "End")
	d.sees("bob", "update people set age = age + 1 where id = 7", "Approved  bob")
	d.presses("bob", "p")
	d.sees("bob", "▌   - name: writes-need-a-second-person")

	// And shown again as it happened: from there, to the answer, to the end.
	d.presses("bob", "4", "R")
	d.sees("bob", "paused 1x", "held by writes-need-a-second-person", "statement 2 of")
	d.presses("bob", "Right", "Right", "Right", "Right")
	d.sees("bob", "bob voted allow: happy birthday", "ok, 1 row in")
	d.presses("bob", "+", "+", "Space")
	d.sees("bob", "the end", "the session ended")
	d.presses("bob", "Home")
	d.sees("bob", "paused instant")
	d.presses("bob", "Space")
	d.sees("bob", "the end")
	d.presses("bob", "t")
	d.sees("bob", "or 2026-11-30 15:04:05") // letters that come in one piece with t would be a pasted text
	d.answers("bob", "-10h")
	d.sees("bob", "paused instant", "connected")
	d.presses("bob", "Escape")
	d.sees("bob", "Search")

	d.tmux("resize-window", "-t", "bob", "-x", "60", "-y", "24")
	d.presses("bob", "?")
	d.sees("bob", "approve, deny; a reason")
	d.presses("bob", "?", "q")
	d.sees("bob", "done>")
}

// The same in lines that can be read aloud.
func TestApprovalsInPlainLines(t *testing.T) {
	d := startDay(t)
	d.open("bob", "bob", "sluice approvals --plain --no-bell")
	d.sees("bob", "Linked to the gateway. Nothing is waiting.")
	d.open("ada", "ada", "sluice connect orders -- psql -X -P pager=off")
	d.sees("ada", `Type "help" for help.`)
	d.types("ada", "update people set age = age + 1 where id = 7;")
	id := d.ask()
	d.sees("bob", "Ask "+id+": ada wants to update on orders")
	d.types("bob", "approve "+id)
	d.sees("bob", "Look at it first: type show "+id)
	d.types("bob", "show "+id)
	d.sees("bob", "Rule        writes-need-a-second-person", "update people set age = age + 1 where id = 7")
	d.types("bob", "approve "+id+" fine")
	d.sees("bob", "You approved "+id)
	d.sees("ada", "bob: fine", "UPDATE 1")
	d.types("bob", "quit")
	d.sees("bob", "done>")
}
