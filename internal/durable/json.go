package durable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// JSON is a file that holds one value and is replaced whole with each change. The zero
// Path keeps nothing: Read finds nothing, and Write does nothing.
type JSON struct {
	Path   string
	What   string // what is in it, for errors: "locks and tokens"
	Most   int64  // bytes of it; 0 is no limit
	Strict bool   // a key that is not known is an error
}

// Read reads the value. found is false if there is no file yet. What cannot be read as
// a whole is an error.
func (f JSON) Read(v any) (found bool, err error) {
	if f.Path == "" {
		return false, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("read %s: %s: %w", f.What, f.Path, err)
		}
	}()
	file, err := os.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	if f.Most > 0 && info.Size() > f.Most {
		return false, fmt.Errorf("it has %d bytes, more than %d", info.Size(), f.Most)
	}
	body, err := io.ReadAll(file)
	if err != nil {
		return false, err
	}
	return true, f.Decode(body, v)
}

// Decode reads the value of a file's content.
func (f JSON) Decode(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if f.Strict {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("more follows after its end")
	}
	return nil
}

// Write replaces the file: when it returns nil the value is on disk, and survives a
// power cut.
func (f JSON) Write(v any) error {
	if f.Path == "" {
		return nil
	}
	body, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return fmt.Errorf("encode %s: %w", f.What, err)
	}
	if f.Most > 0 && int64(len(body)) >= f.Most {
		return fmt.Errorf("%s take %d bytes, more than %d", f.What, len(body), f.Most)
	}
	if err := WriteFile(f.Path, append(body, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep %s: %w", f.What, err)
	}
	return nil
}
