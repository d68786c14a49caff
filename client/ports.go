package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/internal/durable"
)

// Ports are taken from here: above PostgreSQL's own, below the range that
// systems hand out for outgoing connections.
const (
	firstPort = 15432
	portCount = 10000
)

// PortFor gives the local port of a connection. It is the same each time, so
// that a GUI's saved profile goes on working: it is drawn from the names, and
// remembered if the first choice was taken.
func PortFor(s *Store, gateway, connection string) (int, error) {
	addr, err := Address(gateway)
	if err != nil {
		return 0, err
	}
	path := filepath.Join(s.Dir, "ports.json")
	ports := map[string]int{}
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, fmt.Errorf("read the remembered ports: %w", err)
	case json.Unmarshal(raw, &ports) != nil:
		ports = map[string]int{} // a convenience is not worth an error: they are drawn again
	}
	name := addr + " " + connection
	if p, ok := ports[name]; ok && p > 0 && p < 1<<16 {
		return p, nil
	}
	port, err := drawPort(name, ports)
	if err != nil {
		return 0, err
	}
	ports[name] = port
	body, err := json.MarshalIndent(ports, "", "\t")
	if err != nil {
		return 0, fmt.Errorf("encode the ports: %w", err)
	}
	if err := durable.MkdirAll(s.Dir, 0o700); err != nil {
		return 0, fmt.Errorf("make the directory for the ports: %w", err)
	}
	if err := durable.WriteFile(path, body, 0o600); err != nil {
		return 0, fmt.Errorf("remember the port: %w", err)
	}
	return port, nil
}

func drawPort(name string, ports map[string]int) (int, error) {
	taken := map[int]bool{}
	for _, p := range ports {
		taken[p] = true
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	start := int(h.Sum32() % portCount)
	for i := range portCount {
		p := firstPort + (start+i)%portCount
		if taken[p] {
			continue
		}
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err == nil {
			ln.Close()
			return p, nil
		}
	}
	return 0, &api.Error{Sentence: "no free local port", Hint: "choose one with --port", Code: api.CodeError}
}
