package lineage

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

//go:embed page.html
var page string

// HTML writes the answer as one page that needs nothing else: a graph to pan, zoom and
// search. The data is in it as JSON in which no character can end it, and the page's own
// script puts it in as text.
func (a *Answer) HTML(w io.Writer) error {
	data, err := json.Marshal(a) // which escapes <, > and &
	if err != nil {
		return fmt.Errorf("write the lineage as a page: %w", err)
	}
	before, after, _ := strings.Cut(page, "{{data}}")
	for _, s := range []string{before, string(data), after} {
		if _, err := io.WriteString(w, s); err != nil {
			return err
		}
	}
	return nil
}
