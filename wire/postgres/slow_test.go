package postgres

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A client that stops anywhere in its login, or goes on a byte a second, or does not
// read what it is told, is gone when the time for a login is over. The time is a
// made one.
func TestSlowLoginIsCutAtItsBound(t *testing.T) {
	verifier := unitVerifier(t, "secret")
	startup := string(unitStartup(0, "user", "ada"))
	first := "n,,n=,r=rOprNGfwEbeRWgbNEkqO1234"
	scram := string(unitFrame('p', "SCRAM-SHA-256\x00\x00\x00\x00"+string(rune(len(first)))+first))
	for name, tt := range map[string]struct {
		said   string // at once
		slowly string // a byte a second
		deaf   bool   // reads nothing
	}{
		"says nothing":                    {},
		"says half a length":              {said: startup[:2]},
		"stops in its parameters":         {said: startup[:10]},
		"a byte a second from the start":  {slowly: startup},
		"a byte a second of a password":   {said: startup, slowly: scram},
		"never answers the challenge":     {said: startup + scram},
		"does not read the challenge":     {said: startup, deaf: true},
		"asks for encryption, then waits": {said: "\x00\x00\x00\x08\x04\xd2\x16\x2f"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				person, near := net.Pipe()
				defer person.Close()
				if !tt.deaf {
					go io.Copy(io.Discard, person)
				}
				said := make(chan struct{})
				go func() {
					defer close(said)
					dribble(person, tt.said, tt.slowly)
				}()
				began := time.Now()
				_, _, err := Accept(t.Context(), near, verifier)
				took := time.Since(began)
				near.Close()
				<-said
				if err == nil {
					t.Error("it was let in")
				}
				if took < startupTime || took > startupTime+lingerTime {
					t.Errorf("it was cut after %s, the bound is %s: %v", took, startupTime, err)
				}
			})
		})
	}
}

// dribble writes what is said at once, then the rest a byte a second.
func dribble(w io.Writer, said, slowly string) {
	if said != "" { // an empty write would be an empty read
		if _, err := io.WriteString(w, said); err != nil {
			return
		}
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range len(slowly) {
		<-tick.C
		if _, err := io.WriteString(w, slowly[i:i+1]); err != nil {
			return
		}
	}
}
