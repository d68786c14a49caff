package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluicehq/sluice/api"
)

// Profile is a connection's entry in a program with a screen. It stays, because the port
// does; the password is in the password file while the port is open.
type Profile struct {
	Gateway    string // which of several has the connection
	Connection string
	Env        string // "prod" is marked as production
	Local      Local
	Passfile   string
}

func (p Profile) id() string   { return "sluice-" + p.Gateway + "-" + p.Connection }
func (p Profile) name() string { return p.Connection + " (sluice)" }

// DBeaver finds where DBeaver keeps the connections of its first project: nothing if it
// never ran. home and data are the person's directories.
func DBeaver(home, data string) string {
	const file = "DBeaverData/workspace6/General/.dbeaver/data-sources.json"
	for _, dir := range []string{
		data,
		filepath.Join(home, ".local/share"), filepath.Join(home, "Library"), filepath.Join(home, "AppData/Roaming"),
		filepath.Join(home, "snap/dbeaver-ce/current/.local/share"), filepath.Join(home, ".var/app/io.dbeaver.DBeaverCommunity/data"),
	} {
		if dir == "" {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(file))
		// DBeaver makes the file with the first connection, its directory before.
		if info, err := os.Stat(filepath.Dir(path)); err == nil && info.IsDir() {
			return path
		}
	}
	return ""
}

// WriteDBeaver puts the entry into DBeaver's file, or takes it out.
func WriteDBeaver(ctx context.Context, s *Store, path string, p Profile, remove bool) error {
	return s.edit(ctx, path, func(text string, _ fs.FileMode) (string, error) {
		kind := "dev"
		if p.Env == "prod" {
			kind = "prod"
		}
		return editJSON(path, text, "connections", p.id(), remove, map[string]any{
			"provider": "postgresql", "driver": "postgres-jdbc", "name": p.name(), "save-password": false, "folder": "sluice",
			"configuration": map[string]any{
				"host": p.Local.Host, "port": fmt.Sprint(p.Local.Port), "database": p.Local.Database, "user": p.Local.User,
				"url":               fmt.Sprintf("jdbc:postgresql://%s:%d/%s", p.Local.Host, p.Local.Port, p.Local.Database),
				"configurationType": "MANUAL", "type": kind, "auth-model": "postgres_pgpass",
			},
		})
	})
}

// WritePgAdmin puts the entry into a file that pgAdmin imports, or takes it out. pgAdmin's
// own store is a database that is no one else's to write.
func WritePgAdmin(ctx context.Context, s *Store, path string, p Profile, remove bool) error {
	return s.edit(ctx, path, func(text string, _ fs.FileMode) (string, error) {
		return editJSON(path, text, "Servers", p.id(), remove, map[string]any{
			"Name": p.name(), "Group": "sluice", "Host": p.Local.Host, "Port": p.Local.Port, "MaintenanceDB": p.Local.Database,
			"Username": p.Local.User, "ConnectionParameters": map[string]any{"sslmode": "disable", "passfile": p.Passfile},
		})
	})
}

// editJSON sets or removes one entry of one object in a file, and keeps every other value
// as it stands there.
func editJSON(path, text, object, id string, remove bool, entry any) (string, error) {
	refuse := func(err error) (string, error) {
		return "", &api.Error{Sentence: fmt.Sprintf("%s is not written as expected, and was left as it is: %v", path, err), Hint: "make the connection by hand: sluice connect prints what it needs", Code: api.CodeError}
	}
	whole, entries := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if len(bytes.TrimSpace([]byte(text))) > 0 {
		if err := json.Unmarshal([]byte(text), &whole); err != nil {
			return refuse(err)
		}
	}
	if raw, ok := whole[object]; ok {
		if err := json.Unmarshal(raw, &entries); err != nil {
			return refuse(err)
		}
	}
	if _, there := entries[id]; remove && !there {
		return text, nil
	}
	delete(entries, id)
	if !remove {
		raw, err := json.Marshal(entry)
		if err != nil {
			return "", fmt.Errorf("encode the entry: %w", err)
		}
		if entries == nil {
			entries = map[string]json.RawMessage{}
		}
		entries[id] = raw
	}
	raw, err := json.Marshal(entries)
	if err != nil {
		return "", fmt.Errorf("encode the entries: %w", err)
	}
	if whole == nil {
		whole = map[string]json.RawMessage{}
	}
	whole[object] = raw
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	if err := enc.Encode(whole); err != nil {
		return "", fmt.Errorf("encode %s: %w", path, err)
	}
	return out.String(), nil
}
