package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/audit"
)

// output collects what is drawn and lets the test wait for a text.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	read string // what was waited for already
	more chan struct{}
}

func newOutput() *output { return &output{more: make(chan struct{}, 1)} }

func (s *output) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *output) waitFor(t *testing.T, want string) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		s.mu.Lock()
		text := s.text.String()
		before, after, found := strings.Cut(text, want)
		if found {
			s.read += before + want
			s.text.Reset()
			s.text.WriteString(after)
		}
		s.mu.Unlock()
		if found {
			return
		}
		select {
		case <-s.more:
		case <-limit.C:
			t.Fatalf("%q is not on the screen:\n%s", want, text)
		}
	}
}

// ran is a program under way.
type ran struct {
	t    *testing.T
	gw   *fake
	out  *output
	keys *io.PipeWriter
	done chan error
}

func run(t *testing.T, do func(ctx context.Context, gw Gateway, in io.Reader, out io.Writer) error) (*ran, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	in, keys := io.Pipe()
	r := &ran{t: t, gw: newFake(), out: newOutput(), keys: keys, done: make(chan error, 1)}
	go func() { r.done <- do(ctx, r.gw, in, r.out) }()
	t.Cleanup(cancel)
	return r, cancel
}

func (r *ran) press(s string) {
	r.t.Helper()
	if _, err := io.WriteString(r.keys, s); err != nil {
		r.t.Fatal(err)
	}
}

func (r *ran) called(want string) {
	r.t.Helper()
	select {
	case got := <-r.gw.calls:
		if !strings.HasPrefix(got, want) {
			r.t.Errorf("it called %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		r.t.Fatalf("it did not call %q", want)
	}
}

func screenOf(opt Options) func(context.Context, Gateway, io.Reader, io.Writer) error {
	return func(ctx context.Context, gw Gateway, in io.Reader, out io.Writer) error {
		return Run(ctx, gw, in, out, opt)
	}
}

// From start to quit through the real program: approve one, leave.
func TestRun(t *testing.T) {
	r, _ := run(t, screenOf(Options{Me: person("bo")}))
	r.gw.lines <- sample()
	r.out.waitFor(t, "r-m1gra")
	<-time.After(2 * settle) // the guard's time, and some
	r.press("a")
	r.out.waitFor(t, "Approve r-m1gra?")
	<-time.After(2 * settle)
	r.press("\r")
	r.called(`POST /v1/asks/r-m1gra {"grant":true,"seal":"seal-r-m1gra"}`)
	r.out.waitFor(t, "you approved r-m1gra")
	r.press("q")
	if err := <-r.done; err != nil {
		t.Errorf("quitting gave %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	r, cancel := run(t, screenOf(Options{}))
	r.gw.lines <- sample()
	r.out.waitFor(t, "k7f2q")
	cancel()
	if err := <-r.done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRunComesBackAfterALostLink(t *testing.T) {
	r, _ := run(t, screenOf(Options{}))
	r.gw.lines <- api.Live{} // which ends it
	r.out.waitFor(t, "no link to the gateway (connection reset)")
	r.gw.lines <- sample()
	r.out.waitFor(t, "k7f2q")
	r.gw.lines <- api.Live{}
	r.out.waitFor(t, "no link to the gateway")
	next := sample()
	next.Asks = many(1)
	r.gw.lines <- next
	r.out.waitFor(t, "a00000")
	r.press("\x03")
	if err := <-r.done; err != nil {
		t.Errorf("ctrl+c gave %v", err)
	}
}

// Thousands of asks that come and go leave the screen as quick as ten do: what is drawn
// is what is on it.
func TestThousandsOfAsks(t *testing.T) {
	s := newScreen(t, 120, 40)
	s.take(liveMsg{live: api.Live{Whole: true, Asks: many(5000)}, first: true})
	s.press("end")
	if got := mustAsk(s).ID; got != "a04999" {
		t.Errorf("the last is %s", got)
	}
	s.press("/", "id = 777 ", "enter") // the space is cut off
	if n := len(s.m.list()); n != 1 {
		t.Errorf("%d have it", n)
	}
	s.press("esc")
	for i := range 5000 {
		s.take(liveMsg{live: api.Live{Whole: true, Ended: []api.Ended{{ID: fmt.Sprintf("a%05d", i)}}}})
	}
	if n := len(s.m.list()); n != 0 {
		t.Errorf("%d are left", n)
	}
	checkFrame(t, s.m.View(), 120, 40)
}

func BenchmarkScreenWith(b *testing.B) {
	for _, n := range []int{10, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newScreenB(b)
			s.Update(liveMsg{live: api.Live{Whole: true, Asks: many(n)}, first: true})
			next := many(n)[n-1]
			for i := 0; b.Loop(); i++ {
				next.Reason = fmt.Sprint(i)
				s.Update(liveMsg{live: api.Live{Whole: true, Asks: []api.Ask{next}}})
				_ = s.View()
			}
		})
	}
}

// The search of the record takes words and conditions.
func TestSearchOfTheRecord(t *testing.T) {
	q, err := readQuery(`drop who:ada@example.com table:"my table" rows:>100 masked:yes since:2d effect:deny http://x "two words"`, now)
	if err != nil || q.Who != "ada@example.com" || q.Table != "my table" || q.RowsOver != 100 || !q.Masked || !q.Since.Equal(now.AddDate(0, 0, -2)) || q.Effect != "deny" || q.Text != "drop http://x two words" {
		t.Errorf("%+v, %v", q, err)
	}
	for _, bad := range []string{"since:never", "rows:many", "rows:-1"} {
		if _, err := readQuery(bad, now); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
	s := newScreen(t, 80, 24)
	s.gw.reply = func(string, any) (any, error) { return pastSample().res, nil }
	s.start()
	s.press("j", "j", "h")
	if got := s.called(); !strings.Contains(got, `"who":"ana"`) || !strings.Contains(got, `"connection":"orders"`) || !strings.Contains(got, `"whole":true`) {
		t.Errorf("the history of a person is %s", got)
	}
	s.press("1", "s")
	if got := s.called(); !strings.Contains(got, `"fingerprint":"abcdef0123456789"`) {
		t.Errorf("the history of a shape is %s", got)
	}
	s.press("end") // more is asked for at the end of the list
	if got := s.called(); !strings.Contains(got, `"before":7`) {
		t.Errorf("the next page is %s", got)
	}
	s.press("/", "ctrl+u", "since:never", "enter")
	if got := s.called(); got != "" || !strings.Contains(s.m.View(), "is no time") {
		t.Errorf("it called %q", got)
	}
	s.take(historyMsg{turn: s.m.past.turn - 1, err: errors.New("late")})
	if strings.Contains(s.m.View(), "late") {
		t.Error("the answer to an older question is shown")
	}
}

// Plain is a conversation: what happens is told in lines, and commands name their ask.
func TestPlain(t *testing.T) {
	clock := func() time.Time { return now }
	r, _ := run(t, func(ctx context.Context, gw Gateway, in io.Reader, out io.Writer) error {
		return Plain(ctx, gw, in, out, PlainOptions{Me: person("bo"), Now: clock, Silent: true, Describe: func(a api.Ask, p *api.Preview) string {
			return fmt.Sprintf("described %s %t", a.ID, p != nil)
		}})
	})
	r.gw.reply = func(path string, _ any) (any, error) {
		if strings.HasPrefix(path, "/v1/audit") {
			return pastSample().res, nil
		}
		return api.Preview{}, nil
	}
	r.gw.lines <- sample()
	r.out.waitFor(t, "Linked to the gateway. 4 statements are waiting.\nAsk r-m1gra: ana@example.com wants to script on orders, 23h00m left; you may answer.\n")
	r.press("approve k7f2q\n")
	r.out.waitFor(t, "Look at it first: type show k7f2q.")
	r.press("show k7f2q\n")
	r.out.waitFor(t, "described k7f2q false")
	r.press("preview k7f2q\n")
	r.out.waitFor(t, "described k7f2q true")
	r.called("POST /v1/asks/k7f2q/preview")
	r.press("approve k7f2q fine by me\n")
	r.called(`POST /v1/asks/k7f2q {"grant":true,"reason":"fine by me","seal":"seal-k7f2q"}`)
	r.out.waitFor(t, "You approved k7f2q.")
	// Another ask under the same id was not looked at.
	a := sample().Asks[0]
	a.Seal = "another"
	r.gw.lines <- api.Live{Whole: true, Ended: []api.Ended{{ID: "k7f2q", Why: "cancelled"}}, Asks: []api.Ask{a}}
	r.out.waitFor(t, "Ask k7f2q is over: cancelled.\nAsk k7f2q: ana")
	r.press("approve k7f2q\n")
	r.out.waitFor(t, "Look at it first")
	r.press("deny m3xpa no\n")
	r.called(`POST /v1/asks/m3xpa {"grant":false,"reason":"no"}`)
	r.press("break-glass p9wzn\n")
	r.out.waitFor(t, "Look at it first")
	r.press("show p9wzn\nbreak-glass p9wzn\n")
	r.out.waitFor(t, "Say why")
	r.press("sessions\nlist\nhistory since:1d\nfly\nhelp\n")
	r.out.waitFor(t, "3 found, the newest first.")
	r.out.waitFor(t, "There is no command fly.")
	r.called("POST /v1/audit/query")
	r.gw.lines <- api.Live{Whole: true, Ended: []api.Ended{{ID: "p9wzn", Why: "break-glass by bo@example.com: \x1b[2J", BreakGlass: true}}}
	r.out.waitFor(t, "BREAK-GLASS! Ask p9wzn is over: break-glass by bo@example.com: ␛[2J.")
	r.gw.lines <- api.Live{}
	r.out.waitFor(t, "The link to the gateway is lost: connection reset. It is tried again.")
	r.gw.lines <- sample()
	r.out.waitFor(t, "Linked to the gateway.")
	r.press("quit\n")
	if err := <-r.done; err != nil {
		t.Errorf("quit gave %v", err)
	}
	r.out.mu.Lock()
	defer r.out.mu.Unlock()
	if strings.Contains(r.out.read+r.out.text.String(), "\x1b") {
		t.Error("an escape sequence was printed")
	}
}

// plainReplayOf is a conversation about the sessions of a record.
func plainReplayOf(t *testing.T, events []audit.Event, away *atomic.Bool) *ran {
	t.Helper()
	r, _ := run(t, func(ctx context.Context, gw Gateway, in io.Reader, out io.Writer) error {
		return Plain(ctx, gw, in, out, PlainOptions{Me: person("bo"), Now: func() time.Time { return now }, Silent: true})
	})
	shelf := shelfOf(events)
	r.gw.reply = func(path string, in any) (any, error) {
		if away.Load() {
			return nil, errors.New("it is away")
		}
		return shelf(path, in)
	}
	r.gw.calls = make(chan string, 1000)
	r.gw.lines <- api.Live{Whole: true}
	r.out.waitFor(t, "Nothing is waiting.")
	return r
}

// A session is shown again in lines: forwards, backwards, from a time on and at its pace,
// and never its end before the answer.
func TestPlainReplay(t *testing.T) {
	var away atomic.Bool
	r := plainReplayOf(t, replaySample(), &away)
	say := func(command string, want ...string) {
		t.Helper()
		r.press(command + "\n")
		for _, w := range want {
			r.out.waitFor(t, w)
		}
	}
	say("next", "No session is shown again. Type replay and the id of one: sessions and history have them.")
	say("history", ", in s-aaaa: update customers")
	say("replay", "Which session?")
	say("replay s-none", "The record has nothing of a session s-none, or it is not yours.")
	say("replay s-aaaa", "Session s-aaaa of ana@example.com on orders, from 10.1.2.3:5012 with psql, ", ": 4 statements. Type next for the next step, or play.\n", " connected; as role app\n")
	say("next", "statement 1: select id, email from customers where id = $1\n", "with $1", "allowed by default; ok, 1 row, 1 value hidden (email:email) in 830µs\n")
	say("", "3m19s later\n", "statement 2: drop table customers␛[2J\n", "refused by no-drop: DROP cannot be undone\n")
	say("next", "statement 3: update customers", "held by writes-need-a-second-person: changes of production data need a second person\n")
	say("next 3", "it waits for people: ask k7f2q\n", "25s later\n", "bo@example.com voted allow: looks right\n", "approved by bo@example.com\n", "ok, 1 row in 1.2ms\n")
	r.out.mu.Lock()
	before, _, _ := strings.Cut(r.out.read, "approved by bo@example.com")
	r.out.mu.Unlock()
	if strings.Contains(before, "1.2ms") {
		t.Errorf("the end is told before the answer:\n%s", before)
	}
	say("back 3", "statement 3: update")
	say("back 50", "connected; as role app\n")
	say("back", "This is the beginning")
	say("goto +10m", "Session s-aaaa", "the session ended\n")
	say("next", "This is the end of what the record has of the session.")
	say("goto +10h", "Nothing happened in this session from ")
	say("goto soon", "\"soon\" is no time")
	say("next many", "How many steps?")
	say("play slowly", "a speed is 1x")
	say("goto -20h", "connected; as role app\n")
	say("play 1000x", "statement 1: ", "3m19s later\n", "statement 2: ", "the session ended\n", "This is the end")
	say("back", "statement 4: ")
	say("replay s-aaaa", "connected; as role app\n")
	say("play", "statement 1: ") // and two seconds later the next
	say("pause", "Paused.")
	away.Store(true)
	say("goto -1h", "The record was not read: it is away.")
	say("back 50", "connected; as role app\n") // what is there is there
	r.press("quit\n")
	if err := <-r.done; err != nil || strings.Contains(r.out.read+r.out.text.String(), "\x1b") {
		t.Errorf("it printed an escape sequence, or ended with %v", err)
	}
}

// A long session is read page by page, whatever is asked for, and what waits for people is
// told while it is played.
func TestPlainReplayOfALongSession(t *testing.T) {
	const n = 1500
	r := plainReplayOf(t, longSession(n), new(atomic.Bool))
	r.press("replay s-long\nnext 1000\n")
	r.out.waitFor(t, "statement 1001: select 1000\n")
	r.press("back 900\n")
	r.out.waitFor(t, "statement 101: select 100\n")
	r.press("back 1001\nback 1000\n")
	r.out.waitFor(t, "How many steps?")
	r.out.waitFor(t, "statement 1: select 0\n")
	r.press("play 0.001\n") // the next is sixteen minutes away, shown as two seconds
	r.gw.lines <- api.Live{Whole: true, Asks: many(1)}
	r.out.waitFor(t, "Ask a00000: ")
	r.press("play instant\n")
	r.out.waitFor(t, fmt.Sprintf("statement %d: select %d\n", n, n-1))
	r.out.waitFor(t, "This is the end")
	r.press("quit\n")
	if err := <-r.done; err != nil {
		t.Errorf("quit gave %v", err)
	}
	for len(r.gw.calls) > 0 {
		if c := <-r.gw.calls; strings.Contains(c, "s-long") && !strings.Contains(c, `"by"`) && !strings.Contains(c, `"limit":100`) {
			t.Errorf("it asked %s", c)
		}
	}
}
