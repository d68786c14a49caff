package audit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// sealer makes checkpoints.
type sealer struct {
	tree    tree       // of the entries under the last checkpoint
	last    checkpoint // signed last
	history appendFile // all kept checkpoints
	kept    int64      // size of the last one in history, -1 for none
	when    time.Time  // when it was kept
}

// sealLoop makes a checkpoint every second if there is something to seal.
func (l *Log) sealLoop() {
	defer l.loops.Done()
	tick := time.NewTicker(l.cfg.sealEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return // Close makes the last one
		case <-l.failed:
			return
		case done := <-l.asked:
			err := l.sealNow(false)
			done <- err
			if err != nil {
				l.fail(err)
				return
			}
		case t := <-l.turns:
			err := l.turn(t)
			t.done <- err
			if err != nil {
				l.fail(err)
				return
			}
		case now := <-tick.C:
			keep := now.Sub(l.seal.when) >= historyEvery
			if err := l.sealNow(keep); err != nil {
				l.fail(err)
				return
			}
			if keep {
				l.seal.when = now
			}
		}
	}
}

// Seal makes a checkpoint over all that is on disk, without waiting for the next
// second. Whoever is about to verify calls it, so that the newest entries are covered.
func (l *Log) Seal(ctx context.Context) error {
	done := make(chan error, 1) // sealLoop never waits for us
	select {
	case l.asked <- done:
		return <-done
	case <-l.stop:
		return ErrClosed
	case <-l.failed:
		return l.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sealNow signs the tree of what is on disk, and keeps that checkpoint in the
// history too if asked. The order is what makes every point of a crash
// recoverable: entries are on disk before tiles speak of them, tiles before the
// checkpoint, the checkpoint before its copy in the history. So a checkpoint
// never promises what is not there, and the history is never ahead of it.
func (l *Log) sealNow(keep bool) error {
	s := &l.seal
	l.mu.Lock()
	n := int(int64(l.synced) - s.tree.size)
	leaves := l.leaves[:n]
	l.leaves = append(make([]tlog.Hash, 0, len(l.leaves)-n), l.leaves[n:]...)
	l.mu.Unlock()

	if n > 0 {
		if err := l.grow(leaves); err != nil {
			return err
		}
	}
	if keep && s.kept != s.last.Size {
		return l.keepCheckpoint()
	}
	return nil
}

// grow puts leaves into the tree and a checkpoint over it.
func (l *Log) grow(leaves []tlog.Hash) error {
	s := &l.seal
	var stale []string
	s.tree.partial(func(t tlog.Tile, _ []tlog.Hash) { stale = append(stale, tilePath(t)) })

	fresh := map[string]bool{}
	var err error
	save := func(t tlog.Tile, hashes []tlog.Hash) {
		if err == nil {
			fresh[tilePath(t)] = true
			err = l.writeTile(t, hashes)
		}
	}
	for _, leaf := range leaves {
		s.tree.push(leaf, save)
	}
	s.tree.partial(save)
	if err != nil {
		return err
	}

	c := checkpoint{Origin: l.cfg.Origin, Size: s.tree.size, Root: s.tree.root()}
	if err := l.writeCheckpoint(c); err != nil {
		return err
	}
	s.last = c
	l.mu.Lock()
	l.sealed = uint64(c.Size)
	l.mu.Unlock()
	for _, path := range stale {
		if !fresh[path] {
			// A leftover is true and harmless, so it is no error if this fails.
			_ = l.cfg.disk.remove(filepath.Join(l.cfg.Dir, filepath.FromSlash(path)))
			if dir := filepath.Dir(filepath.Join(l.cfg.Dir, filepath.FromSlash(path))); emptyDir(dir) {
				_ = l.cfg.disk.remove(dir)
			}
		}
	}
	return nil
}

func emptyDir(dir string) bool {
	names, err := os.ReadDir(dir)
	return err == nil && len(names) == 0
}

func (l *Log) writeTile(t tlog.Tile, hashes []tlog.Hash) error {
	path := filepath.Join(l.cfg.Dir, filepath.FromSlash(tilePath(t)))
	if err := l.cfg.disk.mkdir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write tile: %w", err)
	}
	if err := l.cfg.disk.writeFile(path, joinHashes(hashes)); err != nil {
		return fmt.Errorf("write tile: %w", err)
	}
	return nil
}

func (l *Log) writeCheckpoint(c checkpoint) error {
	msg, err := c.sign(l.key.signer)
	if err != nil {
		return err
	}
	if err := l.cfg.disk.writeFile(filepath.Join(l.cfg.Dir, checkpointName), msg); err != nil {
		return fmt.Errorf("write checkpoint at %d: %w", c.Size, err)
	}
	return nil
}

// keepCheckpoint copies the last checkpoint into the history.
func (l *Log) keepCheckpoint() error {
	s := &l.seal
	msg, err := s.last.sign(l.key.signer)
	if err != nil {
		return err
	}
	if _, err := s.history.Write(append(msg, '\n')); err != nil {
		return fmt.Errorf("keep checkpoint at %d: %w", s.last.Size, err)
	}
	if err := s.history.Sync(); err != nil {
		return fmt.Errorf("keep checkpoint at %d: %w", s.last.Size, err)
	}
	s.kept = s.last.Size
	return nil
}
