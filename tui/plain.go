package tui

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/sluicehq/sluice/api"
)

// PlainOptions are what the caller of Plain may add.
type PlainOptions struct {
	Me     api.WhoAmI
	Now    func() time.Time
	Silent bool // no bell
	// Describe is everything that is known of an ask, in lines that are read in order.
	Describe func(api.Ask, *api.Preview) string
}

// Plain is the screen for those who have it read to them, and for terminals that can
// only print: one event a line as it happens, no colour, nothing drawn over. It reads a
// command a line from in. An answer names its ask, which must have been shown before,
// and carries the seal of what was shown. It ends with quit, the end of in, or ctx.
func Plain(ctx context.Context, gw Gateway, in io.Reader, out io.Writer, opt PlainOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &plainScreen{gw: gw, out: out, opt: opt, st: newState(), shown: map[string]string{}}
	commands := make(chan string) // each is done before the next is read
	go func() {
		defer close(commands)
		sc := bufio.NewScanner(in) // ends with in; a person's terminal ends with the program
		for sc.Scan() {
			select {
			case commands <- sc.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	news := make(chan tea.Msg) // liveMsg, lostMsg
	done := make(chan struct{})
	go func() {
		defer close(done)
		followGateway(ctx, gw, func(msg tea.Msg) {
			select {
			case news <- msg:
			case <-ctx.Done():
			}
		})
	}()
	defer func() { cancel(); <-done }()
	p.say("Waiting for what the gateway tells. Type help for the commands.")
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case msg := <-news:
			p.hear(msg)
		case <-p.clock:
			p.playOn(ctx)
		case text, ok := <-commands:
			if !ok {
				return p.err
			}
			if p.obey(ctx, text) {
				return p.err
			}
		}
		if p.err != nil {
			return fmt.Errorf("print what waits: %w", p.err)
		}
	}
}

type plainScreen struct {
	gw        Gateway
	out       io.Writer
	opt       PlainOptions
	st, fresh *state
	linked    bool
	shown     map[string]string // seals of the asks that were shown, by id
	again     *plainReplay      // a session that is shown again; nil if none is
	clock     <-chan time.Time  // its next step is due; nil while it is not played
	err       error
}

// say prints a line. What others wrote in it must be clean already.
func (p *plainScreen) say(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format+"\n", args...)
	}
}

func (p *plainScreen) hear(msg tea.Msg) {
	switch msg := msg.(type) {
	case lostMsg:
		if p.linked {
			p.say("The link to the gateway is lost: %s. It is tried again.", line(msg.err.Error()))
		}
		p.linked = false
	case liveMsg:
		if msg.first {
			p.fresh = newState()
		}
		if p.fresh == nil {
			p.changes(msg.live)
			return
		}
		p.fresh.take(msg.live, p.opt.Now())
		if !msg.live.Whole {
			return
		}
		was := p.st
		p.st, p.fresh = p.fresh, nil
		if !p.linked {
			p.linked = true
			p.say("Linked to the gateway. %s", p.summary())
		}
		for _, id := range p.st.asks.order {
			if _, known := was.asks.items[id]; !known {
				p.arrived(p.st.asks.items[id])
			}
		}
	}
}

func (p *plainScreen) summary() string {
	switch n := len(p.st.asks.order); n {
	case 0:
		return "Nothing is waiting."
	case 1:
		return "One statement is waiting."
	default:
		return fmt.Sprintf("%d statements are waiting.", n)
	}
}

// changes tells of what one line brings.
func (p *plainScreen) changes(l api.Live) {
	for _, e := range l.Ended {
		mark := ""
		if e.BreakGlass {
			mark = "BREAK-GLASS! "
		}
		if _, known := p.st.asks.items[e.ID]; known {
			p.say("%sAsk %s is over: %s.", mark, line(e.ID), line(strings.TrimSuffix(e.Why, ".")))
		}
		delete(p.shown, e.ID)
	}
	for _, a := range p.st.take(l, p.opt.Now()) {
		p.arrived(a)
	}
}

func (p *plainScreen) arrived(a api.Ask) {
	yours := "you may answer"
	if !a.MayAnswer {
		yours = "you may not answer"
	}
	ring := ""
	if a.MayAnswer && !p.opt.Silent {
		ring = bell
	}
	p.say("%sAsk %s: %s wants to %s on %s, %s left; %s.", ring, line(a.ID), nameOf(a.Who), kindOf(a), line(a.Connection), span(a.Deadline.Sub(p.opt.Now())), yours)
}

const plainHelp = `Commands:
  list               what waits
  show ID            everything that is known of an ask
  preview ID         try it, undo it, and show what it would change
  approve ID [why]   after it was shown
  deny ID [why]
  break-glass ID why release your own, where a rule lets you
  sessions           who is connected
  kill SESSION       end a session
  history WORDS      search the record: who:ada table:orders since:7d
  replay SESSION     show a session again as the record has it, a step at a time
  next [N]           its next step, or N of them; an empty line is next
  back [N]           the step before, or N before
  goto TIME          to 15:04, +10m or 2026-11-30 15:04:05
  play [SPEED]       step by step at its pace: 1x, 10x or another number, or instant
  pause              stop playing; any other step does so too
  quit`

// obey does one command; true ends the program.
func (p *plainScreen) obey(ctx context.Context, text string) bool {
	words := strings.Fields(text)
	if len(words) == 0 {
		if p.again == nil {
			return false
		}
		words = []string{"next"}
	}
	id, rest := "", ""
	if len(words) > 1 {
		id, rest = words[1], strings.Join(words[2:], " ")
	}
	switch words[0] {
	case "quit", "q", "exit":
		return true
	case "list", "ls":
		p.list()
	case "show":
		p.show(ctx, id, false)
	case "preview":
		p.show(ctx, id, true)
	case "approve":
		p.answer(ctx, question{about: approve, id: id}, rest)
	case "deny":
		p.answer(ctx, question{about: deny, id: id}, rest)
	case "break-glass":
		p.answer(ctx, question{about: glass, id: id, must: true}, rest)
	case "kill":
		if err := send(ctx, p.gw, question{about: kill, id: id}, ""); err != nil {
			p.say("Session %s was not ended: %s.", line(id), wordsOf(err))
			break
		}
		p.say("You ended session %s.", line(id))
	case "sessions":
		p.sessions()
	case "history":
		p.history(ctx, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), words[0])))
	case "replay", "next", "back", "goto", "play", "pause":
		p.replay(ctx, words[0], strings.Join(words[1:], " "))
	case "help", "?":
		p.say("%s", plainHelp)
	default:
		p.say("There is no command %s. Type help for the commands.", line(words[0]))
	}
	return false
}

func (p *plainScreen) list() {
	p.say("%s", p.summary())
	for _, id := range p.st.asks.order {
		a := p.st.asks.items[id]
		yours := ""
		if !a.MayAnswer {
			yours = ", not yours to answer"
		}
		p.say("Ask %s: %s, %s on %s, %s left%s: %s", line(a.ID), nameOf(a.Who), kindOf(a), line(a.Connection), span(a.Deadline.Sub(p.opt.Now())), yours, cutTo(flat(a.SQL), 100))
	}
}

// named is an ask that waits, and says so if it does not.
func (p *plainScreen) named(id string) (api.Ask, bool) {
	a, ok := p.st.asks.items[id]
	if !ok {
		p.say("No ask waits under the id %s.", line(id))
	}
	return a, ok
}

func (p *plainScreen) show(ctx context.Context, id string, try bool) {
	a, ok := p.named(id)
	if !ok {
		return
	}
	if !try && a.MayAnswer && a.Evidence != nil && !a.Evidence.Done {
		var now api.Ask // looked into first, for who looks at it
		if p.gw.Call(ctx, http.MethodGet, withID(api.AskPath, id), nil, &now) == nil && now.Seal == a.Seal {
			a = now
		}
	}
	var preview *api.Preview
	if try {
		preview = &api.Preview{}
		if err := p.gw.Call(ctx, http.MethodPost, withID(api.PreviewPath, id), nil, preview); err != nil {
			p.say("There is no preview: %s.", wordsOf(err))
			preview = nil
		}
	}
	p.say("%s", strings.TrimRight(p.opt.Describe(a, preview), "\n"))
	p.shown[id] = a.Seal
}

func (p *plainScreen) answer(ctx context.Context, q question, why string) {
	a, ok := p.named(q.id)
	if !ok {
		return
	}
	q.seal = p.shown[q.id]
	switch {
	case q.about != deny && q.seal != a.Seal:
		p.say("Look at it first: type show %s.", line(q.id))
		return
	case q.must && why == "":
		p.say("Say why: break-glass %s REASON.", line(q.id))
		return
	}
	if err := send(ctx, p.gw, q, why); err != nil {
		p.say("You could not %s %s: %s.", did[q.about][1], line(q.id), wordsOf(err))
		return
	}
	p.say("You %s %s.", did[q.about][0], line(q.id))
}

func (p *plainScreen) sessions() {
	if len(p.st.sessions.order) == 0 {
		p.say("Nobody is connected.")
	}
	for _, id := range p.st.sessions.order {
		s := p.st.sessions.items[id]
		per, _ := s.rates(p.opt.Now())
		p.say("Session %s: %s on %s, %s, %d statements, %s a second: %s", line(s.ID), nameOf(s.Who), line(s.Connection), doing(s.State), s.Statements, rate(per), cutTo(flat(s.SQL), 100))
	}
}

func (p *plainScreen) history(ctx context.Context, typed string) {
	q, err := readQuery(typed, p.opt.Now())
	if err != nil {
		p.say("%s.", line(err.Error()))
		return
	}
	q.Limit, q.Whole = 20, true
	var res api.AuditResult
	if err := p.gw.Call(ctx, http.MethodPost, api.AuditQueryPath, q, &res); err != nil {
		p.say("The record was not read: %s.", wordsOf(err))
		return
	}
	sort.SliceStable(res.Events, func(i, j int) bool { return res.Events[i].Seq > res.Events[j].Seq })
	p.say("%d found, the newest first.", len(res.Events))
	for _, ev := range res.Events {
		result := ev.Outcome
		if result == "" {
			result = ev.Effect
		}
		text := ev.SQL
		if text == "" {
			text = ev.Detail
		}
		in := ""
		if ev.Session != "" {
			in = ", in " + line(ev.Session)
		}
		p.say("%s, %s on %s, %s, %s%s: %s", ev.Time.Local().Format(time.DateTime), line(ev.Who), line(ev.Connection), line(string(ev.Kind)), line(result), in, cutTo(flat(text), 100))
	}
}
