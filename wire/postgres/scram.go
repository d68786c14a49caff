package postgres

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// maxIterations bounds the work a verifier may ask of a client; the RFC's own
// figure for the algorithm is 4,096.
const maxIterations = 1_000_000

// errVerifier says that a SCRAM verifier has not the form PostgreSQL stores in
// pg_authid.rolpassword: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey.
var errVerifier = errors.New("malformed SCRAM verifier")

// parseVerifier reads a stored verifier.
func parseVerifier(text string) (scram.StoredCredentials, error) {
	rest, ok := strings.CutPrefix(text, "SCRAM-SHA-256$")
	head, keys, ok1 := strings.Cut(rest, "$")
	count, salt64, ok2 := strings.Cut(head, ":")
	stored64, server64, ok3 := strings.Cut(keys, ":")
	iterations, err := strconv.Atoi(count)
	if !ok || !ok1 || !ok2 || !ok3 || err != nil || iterations < 1 || iterations > maxIterations {
		return scram.StoredCredentials{}, errVerifier
	}
	salt, err1 := base64.StdEncoding.DecodeString(salt64)
	stored, err2 := base64.StdEncoding.DecodeString(stored64)
	server, err3 := base64.StdEncoding.DecodeString(server64)
	if errors.Join(err1, err2, err3) != nil || len(stored) != 32 || len(server) != 32 || len(salt) == 0 {
		return scram.StoredCredentials{}, errVerifier
	}
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(salt), Iters: iterations},
		StoredKey:  stored,
		ServerKey:  server,
	}, nil
}

// conversation is one SCRAM-SHA-256 login (RFC 7677) against a stored verifier.
// PostgreSQL's clients leave the SCRAM user name empty; the one of the startup
// message counts, and here any will do: who is asking was settled before.
func conversation(verifier string) (*scram.ServerConversation, error) {
	stored, err := parseVerifier(verifier)
	if err != nil {
		return nil, err
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		return nil, fmt.Errorf("start SCRAM: %w", err)
	}
	return server.NewConversation(), nil
}
