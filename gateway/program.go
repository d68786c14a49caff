package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sluicehq/sluice/query"
	"github.com/sluicehq/sluice/wire"
	"github.com/sluicehq/sluice/wire/postgres"
)

const (
	programName = "application_name"
	// maxProgram is what PostgreSQL keeps of an application_name, in bytes.
	maxProgram = 63
	// maxWho is how much of it the caller may take: some of the program stays visible.
	maxWho = 40
	// maxPrograms bounds the names of one session whose full form is remembered. A
	// program has one or two; beyond that a long one comes back cut.
	maxPrograms = 64
)

// program keeps who is asking in what the database calls the application: people who
// look at pg_stat_activity or the server's log see it (decision 011). The client sees
// its own name. It is there for people to read; the record is what proves.
type program struct {
	who    string // as it is shown
	escape bool   // the server writes what it cannot show as \x…, as from version 16 on

	mu   sync.Mutex        // guards what follows
	seen map[string]string // what the client is told of each name the database was given
}

// mark is what every name of a session ends with.
const mark = " via sluice"

// newProgram is for a caller by this name.
func newProgram(who string) *program {
	shown := flat.ReplaceAllString(printable(who), "?")
	if shown != who || len(shown) > maxWho {
		// Two who look the same when cut are still told apart.
		sum := sha256.Sum256([]byte(who))
		shown = shown[:min(len(shown), maxWho-9)] + "#" + hex.EncodeToString(sum[:4])
	}
	return &program{who: shown, seen: map[string]string{}}
}

var (
	// flat is what in a name could pass for the frame around it.
	flat = regexp.MustCompile(`[()]`)
	// posing is what would read as if it were said by Sluice.
	posing = regexp.MustCompile(`(?i)via[^a-z0-9]*sluice`)
)

// name is what the database is given for what the client calls itself.
func (p *program) name(app string) string {
	if app == "" {
		return p.who + mark
	}
	shown := flat.ReplaceAllString(printable(app), "?")
	for posing.MatchString(shown) {
		shown = posing.ReplaceAllString(shown, "?")
	}
	end := " (" + p.who + mark + ")"
	return shown[:min(len(shown), maxProgram-len(end))] + end
}

// given is name, whose answer will be told to the client as app.
func (p *program) given(app string) string {
	name := p.name(app)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.seen[name]; known || len(p.seen) < maxPrograms {
		p.seen[name] = app
	}
	return name
}

// told is what the client is told of a name that the database reports. ok is false
// if it is not one that this session was given: something that was not seen set it.
func (p *program) told(name string) (app string, ok bool) {
	p.mu.Lock()
	app, known := p.seen[name]
	p.mu.Unlock()
	if known {
		return p.asServer(app), true
	}
	if name == p.who+mark {
		return "", true
	}
	if app, ok = strings.CutSuffix(name, " ("+p.who+mark+")"); ok {
		return app, true
	}
	return name, false
}

// asServer is what the database would make of the name.
func (p *program) asServer(app string) string {
	end := min(len(app), maxProgram)
	for end > 0 && end < len(app) && !utf8.RuneStart(app[end]) {
		end--
	}
	var b strings.Builder
	for _, c := range []byte(app[:end]) {
		switch {
		case c >= ' ' && c <= '~':
			b.WriteByte(c)
		case p.escape:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

// printable has one question mark for each character that the database would not
// keep: its own escapes are longer, and would push the caller out.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// greet turns the settings of the login into what the client is told.
func (p *program) greet(settings map[string]string) {
	major, _, _ := strings.Cut(settings["server_version"], ".")
	n, err := strconv.Atoi(major)
	p.escape = err == nil && n >= 16
	if name, ok := settings[programName]; ok {
		settings[programName], _ = p.told(name)
	}
}

// rename has a lone SET application_name keep the caller. RESET and DISCARD need
// nothing: they go back to the name of the login.
func (p *program) rename(req *wire.Request, j *job) {
	if len(j.runs) != 1 || j.runs[0].text.Kind != query.Set || j.runs[0].text.SetName != programName {
		return
	}
	value, local, ok := query.Assigned(j.runs[0].text.SQL)
	if !ok {
		return
	}
	set := "SET "
	if local {
		set = "SET LOCAL "
	}
	// It has no quote or backslash to misread: standard_conforming_strings is on.
	name := strings.ReplaceAll(p.given(value), "'", "''")
	_ = postgres.Instead(req, set+programName+" = '"+name+"'") // an Execute carries no text: its Parse did
}

// asks reports whether a statement shows the name, which is then put right.
func asks(st *query.Statement) bool {
	return st.Kind == query.Show && st.SetName == programName
}

// correct puts the client's own name into the answer to SHOW.
func (p *program) correct(row [][]byte) {
	if len(row) == 1 && row[0] != nil {
		app, _ := p.told(string(row[0]))
		row[0] = []byte(app)
	}
}
