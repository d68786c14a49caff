package cmd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/internal/durable"
)

// literalModes are what record.literals may say.
var literalModes = []string{gateway.PseudonymiseLiterals, gateway.KeepLiterals, gateway.DropLiterals}

// literalsKey is the file of the key of pseudonyms, in the data directory.
const literalsKey = "literals.key"

// minLiteralsKey is the shortest key, in bytes: a shorter one could be guessed.
const minLiteralsKey = 32

// openLiterals reads or makes the key. One that cannot be read is an error: with another
// key nobody would find what was recorded before.
func openLiterals(dir, mode string) (l gateway.Literals, err error) {
	l.Mode = mode
	if mode == "" {
		l.Mode = gateway.PseudonymiseLiterals
	}
	if l.Mode != gateway.PseudonymiseLiterals {
		return l, nil
	}
	path := filepath.Join(dir, literalsKey)
	l.Key, err = readLiteralsKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	l.Key = make([]byte, minLiteralsKey)
	if _, err := rand.Read(l.Key); err != nil {
		return l, err
	}
	return l, durable.WriteFile(path, l.Key, 0o600)
}

func readLiteralsKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key of pseudonyms: %w", err)
	}
	if len(key) < minLiteralsKey {
		return nil, tell(exitError, "restore it from a copy; moved away, a new one is made, and values recorded before are no longer found", "the key of pseudonyms in %s is %d bytes, it has %d", path, len(key), minLiteralsKey)
	}
	return key, nil
}

// aboutOffline is gateway.AskAbout for a record that is read without a gateway. Its key
// lies beside it, or where the person says.
func aboutOffline(in api.AuditQuery, record, path string) (api.AuditQuery, error) {
	if in.About == "" {
		return in, nil
	}
	if path == "" {
		path = filepath.Join(filepath.Dir(filepath.Clean(record)), literalsKey)
	}
	key, err := readLiteralsKey(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = tell(exitUsage, "give it with --literals-key, or ask the gateway", "the key of pseudonyms is not in %s", path)
		}
		return in, err
	}
	return gateway.AskAbout(in, gateway.Literals{Mode: gateway.PseudonymiseLiterals, Key: key})
}
