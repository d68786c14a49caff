package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/sluicehq/sluice/internal/howlong"
)

// secret says where a secret is; never what it is.
type secret struct {
	Env  string   `yaml:"env"`
	File string   `yaml:"file"`
	Exec []string `yaml:"exec"`
}

const (
	secretTime = 10 * time.Second // for a program to give it; it may have to ask a vault
	maxSecret  = 64 << 10         // no password is longer, and a device never ends
)

// read fetches the password, or whatever what says it is, of whose. What is empty or has
// several lines is a mistake.
func (s secret) read(ctx context.Context, whose, what string, env func(string) string) (string, error) {
	var text, where string
	var err error
	switch {
	case s.Env != "":
		if text = env(s.Env); text == "" {
			return "", tell(exitError, "set it in the environment of the gateway", "%s: the environment variable %s with the %s is empty or not set", whose, s.Env, what)
		}
		where = "the environment variable " + s.Env
	case s.File != "":
		where = "the file " + s.File
		if text, err = readFile(s.File, maxSecret); err != nil {
			return "", tell(exitError, "check the path, and that the user of the gateway may read it", "%s: the %s cannot be read from %s: %s", whose, what, s.File, reason(err))
		}
	case len(s.Exec) > 0:
		where = "the program " + s.Exec[0]
		if text, err = runForSecret(ctx, s.Exec, what); err != nil {
			return "", tell(exitError, "run it by hand as the user of the gateway", "%s: %s", whose, err)
		}
	default:
		return "", nil // some databases trust a certificate or the network
	}
	text = strings.TrimRight(text, "\r\n")
	switch {
	case text == "":
		return "", tell(exitError, leaveOut(what), "%s: %s gives an empty %s", whose, where, what)
	case strings.ContainsAny(text, "\r\n\x00"):
		return "", tell(exitError, "make it give the password alone, on one line", "%s: %s gives several lines, which are no %s", whose, where, what)
	}
	return text, nil
}

func leaveOut(what string) string {
	if what == "password" {
		return "leave password: out if the database asks for none"
	}
	return "see that it gives the " + what
}

// runForSecret runs a program and says in words how it went wrong.
func runForSecret(ctx context.Context, command []string, what string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, secretTime)
	defer cancel()
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.WaitDelay = time.Second // children that keep its output open end with it
	var out, said atMost
	c.Stdout, c.Stderr = &out, &said
	err := c.Run()
	var ended *exec.ExitError
	switch {
	case out.full:
		return "", fmt.Errorf("the program %s for the %s gives more than %d KiB", command[0], what, maxSecret>>10)
	case ctx.Err() != nil:
		return "", fmt.Errorf("the program %s for the %s did not end within %s", command[0], what, howlong.Text(secretTime))
	case errors.As(err, &ended):
		text := fmt.Sprintf("the program %s for the %s ended with status %d", command[0], what, ended.ExitCode())
		if ended.ExitCode() < 0 {
			text = fmt.Sprintf("the program %s for the %s was ended (%s)", command[0], what, ended)
		}
		if line, _, _ := strings.Cut(strings.TrimSpace(said.b.String()), "\n"); line != "" {
			text += ": " + short(line, 200)
		}
		return "", errors.New(text)
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("the program %s for the %s is not there", command[0], what)
	case err != nil:
		return "", fmt.Errorf("the program %s for the %s cannot be run: %s", command[0], what, reason(err))
	}
	return out.b.String(), nil
}

// atMost keeps what a program writes, up to maxSecret; then its pipe breaks.
type atMost struct {
	b    bytes.Buffer
	full bool
}

func (w *atMost) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > maxSecret {
		w.full = true
		return 0, io.ErrShortWrite
	}
	return w.b.Write(p)
}

// errTooLong says that a file is larger than what it could be.
var errTooLong = errors.New("it is too large")

// readFile reads a file of at most limit bytes: a device that never ends must not
// be read for ever.
func readFile(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return "", err
	}
	if int64(len(b)) > limit {
		return "", fmt.Errorf("%w: more than %d KiB", errTooLong, limit>>10)
	}
	return string(b), nil
}
