package postgres

import (
	"strings"
	"testing"
)

// What a client says in place of a SCRAM login never lets it in without the password,
// and never takes us down.
func FuzzConversation(f *testing.F) {
	const verifier = "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	f.Add("n,,n=,r=abcdefgh", "c=biws,r=abcdefgh,p=AAAA")
	f.Add("y,,n=ada,r=x", "")
	f.Add("p=tls-unique,,n=,r=x", "c=,r=,p=")
	f.Add("", "p=")
	f.Add("n,a=boss,n=,r=x", "c=bixh,r=x,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, first, final string) {
		c, err := conversation(verifier)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Step(first); err != nil {
			return
		}
		if _, err := c.Step(final); err == nil && c.Valid() {
			t.Errorf("let in by %q, %q", first, final)
		}
	})
}

func FuzzParseVerifier(f *testing.F) {
	for _, v := range []string{
		"", "SCRAM-SHA-256$4096:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"SCRAM-SHA-256$0:$:", "SCRAM-SHA-256$-1:c2FsdA==$A:B", "md5abc", "SCRAM-SHA-256$99999999999999999999:c2FsdA==$A:B",
	} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseVerifier(text)
		if err == nil && (!strings.HasPrefix(text, "SCRAM-SHA-256$") || len(c.StoredKey) != 32 || len(c.ServerKey) != 32 || c.Salt == "" || c.Iters < 1 || c.Iters > maxIterations) {
			t.Errorf("%q was read as %+v", text, c)
		}
	})
}
