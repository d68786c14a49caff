package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// proved is a record with n entries, the proof of one of them, and the public key.
func proved(t testing.TB, n, of int, since []byte) (Config, string, *Proof) {
	t.Helper()
	cfg := testConfig(t)
	l := openLog(t, cfg)
	appendN(t, l, 0, n)
	key := l.VerifierKey()
	closeLog(t, l)
	p, err := Prove(t.Context(), cfg.Dir, fmt.Sprint(l.idPrefix, of), since)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, key, p
}

func marshal(t testing.TB, p *Proof) []byte {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEachEntryIsProven(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	const n = 600 // full and partial tiles
	appendN(t, l, 0, n)
	closeLog(t, l)
	for of := 0; of < n; of += 37 {
		p, err := Prove(t.Context(), cfg.Dir, fmt.Sprint(l.idPrefix, of), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := VerifyProof(marshal(t, p), l.VerifierKey())
		if err != nil || got.Event.Seq != uint64(of) || got.Size != n || got.Grown {
			t.Fatalf("entry %d: %+v, %v", of, got, err)
		}
	}
	for _, id := range []string{"", "x", fmt.Sprint(l.idPrefix, n), "00000000-5", "5"} {
		if p, err := Prove(t.Context(), cfg.Dir, id, nil); err == nil {
			t.Errorf("%q was proven: %+v", id, p)
		}
	}
}

// A changed byte anywhere in a proof is noticed, unless it changes nothing.
func TestNoByteOfAProofCanBeChanged(t *testing.T) {
	_, key, p := proved(t, 300, 123, nil)
	whole := marshal(t, p)
	for i := range whole {
		harmed := bytes.Clone(whole)
		harmed[i] ^= 1
		if got, err := VerifyProof(harmed, key); err == nil {
			var q Proof
			if err := json.Unmarshal(harmed, &q); err != nil || !bytes.Equal(marshal(t, &q), whole) {
				t.Errorf("byte %d (%q): it proves %+v", i, whole[max(0, i-10):min(len(whole), i+10)], got)
			}
		}
	}
	other := testConfig(t)
	l := openLog(t, other)
	if _, err := VerifyProof(whole, l.VerifierKey()); err == nil {
		t.Error("another key verifies it")
	}
	closeLog(t, l)
	if _, err := VerifyProof(bytes.Repeat([]byte(" "), maxProofBytes+1), key); err == nil {
		t.Error("a proof without end was read")
	}
}

// History rewritten between two checkpoints cannot be proven to have grown.
func TestGrowthIsProven(t *testing.T) {
	cfg := testConfig(t)
	l := openLog(t, cfg)
	appendN(t, l, 0, 100)
	closeLog(t, l)
	old, err := os.ReadFile(filepath.Join(cfg.Dir, checkpointName))
	if err != nil {
		t.Fatal(err)
	}
	l = openLog(t, cfg)
	appendN(t, l, 100, 400)
	closeLog(t, l)
	id := fmt.Sprint(l.idPrefix, 5)
	p, err := Prove(t.Context(), cfg.Dir, id, old)
	if err != nil {
		t.Fatal(err)
	}
	got, err := VerifyProof(marshal(t, p), l.VerifierKey())
	if err != nil || !got.Grown || got.Since != 100 || got.Size != 400 {
		t.Fatalf("%+v, %v", got, err)
	}
	// The holder of the key signs another history.
	forged := checkpoint{Origin: cfg.Origin, Size: 100, Root: l.seal.tree.root()}
	msg, err := forged.sign(l.key.signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Prove(t.Context(), cfg.Dir, id, msg); err == nil {
		t.Error("growth from another history was proven")
	}
	p.Since.Checkpoint = string(msg)
	if _, err := VerifyProof(marshal(t, p), l.VerifierKey()); err == nil || !strings.Contains(err.Error(), "rewritten") {
		t.Errorf("growth from another history was believed: %v", err)
	}
	forged.Size = 500
	if msg, err = forged.sign(l.key.signer); err != nil {
		t.Fatal(err)
	}
	if _, err := Prove(t.Context(), cfg.Dir, id, msg); !errors.Is(err, errShrunk) {
		t.Errorf("a record put back: %v", err)
	}
}

func FuzzVerifyProof(f *testing.F) {
	_, key, p := proved(f, 10, 3, nil)
	f.Add(marshal(f, p))
	f.Add([]byte(`{"format":"sluice-proof/1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := VerifyProof(b, key); err == nil && got.Event.Seq >= 10 {
			t.Errorf("%+v is proven", got)
		}
	})
}
