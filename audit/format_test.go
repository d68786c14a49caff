package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TestVectorsOfTheFormat makes the record that format.md shows, with a fixed
// key, and wants the document to show exactly these bytes. They may never
// change: records that exist must stay verifiable.
func TestVectorsOfTheFormat(t *testing.T) {
	seed := append([]byte{1}, bytes.Repeat([]byte{7}, 32)...) // algorithm 1 is Ed25519
	k := keyOfSeed(t, "sluice/example", seed)
	var tr tree
	var want strings.Builder
	for n := range uint64(3) {
		ev := Event{
			Time: time.Date(2026, 3, 4, 5, 6, 7, int(n)*1000, time.UTC), Kind: Decided, Who: "ada@example.com",
			Connection: "orders", SQL: "select \"é\"\n", Params: []string{fmt.Sprint(n)}, Effect: "allow",
		}
		body, err := appendBounded(nil, ev)
		if err != nil {
			t.Fatal(err)
		}
		line := append(appendHead(nil, n, idPrefix(k.known)), body...)
		tr.push(tlog.RecordHash(line), nil)
		want.Write(append(line, '\n'))
	}
	for _, leaf := range tr.levels[0] {
		fmt.Fprintf(&want, "%x\n", leaf[:])
	}
	want.WriteString(k.public + "\n")
	msg, err := checkpoint{Origin: "sluice/example", Size: tr.size, Root: tr.root()}.sign(k.signer)
	if err != nil {
		t.Fatal(err)
	}
	want.Write(msg)
	next := keyOfSeed(t, "sluice/example", append([]byte{1}, bytes.Repeat([]byte{8}, 32)...))
	turn := replacement{Origin: "sluice/example", Entry: 2, Size: 3, Root: tr.root(), Old: k.public, New: next.public}
	if msg, err = note.Sign(&note.Note{Text: turn.text()}, k.signer, next.signer); err != nil {
		t.Fatal(err)
	}
	want.Write(msg)

	doc, err := os.ReadFile("format.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(want.String()) {
		if !bytes.Contains(doc, []byte("\n"+line)) {
			t.Errorf("format.md does not show this line:\n%s", line)
		}
	}
}

// keyOfSeed builds a note key as the format describes it: the hash in it is of
// the name, a line break, and the public key with its algorithm.
func keyOfSeed(t *testing.T, name string, seed []byte) key {
	t.Helper()
	public, ok := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("no public key")
	}
	sum := sha256.Sum256(append([]byte(name+"\n\x01"), public...))
	k, err := parseKey(fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(seed)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
