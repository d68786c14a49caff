package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	// sayTime bounds the start of a program: a loaded machine needs seconds.
	sayTime = 60 * time.Second
	// endTime is what a program has to end by itself once it is asked to.
	endTime = 20 * time.Second
	// keptLines of what a program said are shown when it fails.
	keptLines = 30
)

// process is a program that runs beside the tests. One goroutine reads what it says
// and ends with it.
type process struct {
	name   string
	cmd    *exec.Cmd
	said   chan string // closed when the program has ended
	cancel context.CancelFunc

	mu   sync.Mutex // guards tail
	tail []string   // the last lines it said
}

// run starts a program. Both of its streams are read line by line.
func run(ctx context.Context, env []string, path string, args ...string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &process{name: strings.Join(args[:1], " "), said: make(chan string, 100), cancel: cancel} // 100: more than any says at its start
	p.cmd = exec.CommandContext(ctx, path, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = endTime
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start sluice %s: %w", p.name, err)
	}
	go p.read(r)
	go func() { w.CloseWithError(p.cmd.Wait()) }() // ends with the program, and ends read
	return p, nil
}

func (p *process) read(r io.Reader) {
	defer close(p.said)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.mu.Lock()
		if p.tail = append(p.tail, lines.Text()); len(p.tail) > keptLines {
			p.tail = p.tail[1:]
		}
		p.mu.Unlock()
		select {
		case p.said <- lines.Text():
		default: // nobody waits for it any more
		}
	}
}

// line waits for a line that contains text.
func (p *process) line(ctx context.Context, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sayTime)
	defer cancel()
	for {
		select {
		case line, ok := <-p.said:
			if !ok {
				return "", fmt.Errorf("sluice %s ended: %s", p.name, p.last())
			}
			if strings.Contains(line, text) {
				return line, nil
			}
		case <-ctx.Done():
			return "", fmt.Errorf("sluice %s did not say %q: %w: %s", p.name, text, ctx.Err(), p.last())
		}
	}
}

// last is the end of what the program said.
func (p *process) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// stop asks the program to end, and waits until it has. A program that ended before
// it was asked to is an error: something that the tests relied on was gone.
func (p *process) stop() error {
	early := p.ended()
	p.cancel()
	for range p.said { //nolint:revive // until it is closed
	}
	if early {
		return errors.New("sluice " + p.name + " ended during the tests: " + p.last())
	}
	return nil
}

// ended says whether the program has ended already.
func (p *process) ended() bool {
	for {
		select {
		case _, ok := <-p.said:
			if !ok {
				return true
			}
		default:
			return false
		}
	}
}
