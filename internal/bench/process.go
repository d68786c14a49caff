//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	// readyTime is how long a process may take to say that it serves.
	readyTime = 30 * time.Second
	// endTime is how long it may take to end when told to; then it is killed.
	endTime = 5 * time.Second
	// tailBytes of what a process says are kept, for error messages.
	tailBytes = 16 << 10
)

// process is a program that runs until end. One goroutine waits for it.
type process struct {
	name string
	cmd  *exec.Cmd
	said *tail
	done chan struct{} // closed when it has ended
	err  error         // how; written before done is closed
}

// launch starts a program. Its standard output and error are kept together.
func launch(name string, env []string, argv ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), said: &tail{news: make(chan struct{}, 1)}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// await returns what pattern's groups match as soon as the process says it.
func (p *process) await(ctx context.Context, pattern string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	re := regexp.MustCompile(pattern)
	for {
		if m := re.FindStringSubmatch(p.said.String()); m != nil {
			return m[1:], nil
		}
		select {
		case <-p.said.news:
		case <-p.done:
			return nil, fmt.Errorf("%s ended before it was ready: %w: %s", p.name, errors.Join(p.err, errors.New("no readiness line")), p.said)
		case <-ctx.Done():
			return nil, fmt.Errorf("%s was not ready: %w: %s", p.name, ctx.Err(), p.said)
		}
	}
}

// awaitPort waits until something accepts connections at addr.
func (p *process) awaitPort(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended before it opened %s: %s", p.name, addr, p.said)
		case <-ctx.Done():
			return fmt.Errorf("%s did not open %s: %w: %s", p.name, addr, ctx.Err(), p.said)
		}
	}
}

// end stops the process and waits for it. It may be called twice.
func (p *process) end() error {
	if err := p.cmd.Process.Signal(goodbye); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(endTime):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex // guards buf
	buf  []byte
	news chan struct{} // holds one notice of something unread
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.mu.Unlock()
	select {
	case t.news <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(bytes.ToValidUTF8(t.buf, []byte("?"))))
}

// freePort is a port of this machine that nothing listened on a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
