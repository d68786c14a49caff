package index

import (
	"crypto/sha256"
	"database/sql"
	"hash/maphash"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/audit"
)

// dictionary gives numbers to what comes again and again: names, callers, sessions, and
// the shapes of statements. What it remembers was committed, or is in the transaction
// under way: after a rollback it must be forgotten.
type dictionary struct {
	names, sessions map[string]int64
	runs            map[string]int64
	actors, shapes  map[[2]uint64]int64 // by a hash that only this process knows
	seeds           [2]maphash.Seed
	lists           []byte // reused
}

// maxRemembered bounds each of its maps: whoever sends another statement each time does
// not fill the memory. Beyond, the file is asked.
const maxRemembered = 1 << 16

func newDictionary() *dictionary {
	return &dictionary{
		names: map[string]int64{}, sessions: map[string]int64{}, runs: map[string]int64{}, actors: map[[2]uint64]int64{}, shapes: map[[2]uint64]int64{},
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
}

func remember[K comparable](m map[K]int64, key K, id int64) int64 {
	if len(m) >= maxRemembered {
		clear(m)
	}
	m[key] = id
	return id
}

// text gives the number of a text in the table of that name; 0 stands for none.
func (d *dictionary) text(tx *statements, table string, m map[string]int64, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if id, ok := m[text]; ok {
		return id, nil
	}
	id, _, err := tx.idOf("SELECT id FROM "+table+" WHERE text=?", "INSERT INTO "+table+" (text) VALUES (?)", text)
	if err != nil {
		return 0, err
	}
	return remember(m, strings.Clone(text), id), nil
}

// listed puts lists of texts in one, so that no two lists of lists give the same.
func (d *dictionary) listed(lists ...[]string) []byte {
	b := d.lists[:0]
	for _, list := range lists {
		for _, p := range list {
			b = append(strconv.AppendInt(b, int64(len(p)), 10), ':')
			b = append(b, p...)
		}
		b = append(b, ';')
	}
	d.lists = b
	return b
}

// quick is the key of lists in memory: nobody outside can make two that have the same.
func (d *dictionary) quick(lists []byte) [2]uint64 {
	return [2]uint64{maphash.Bytes(d.seeds[0], lists), maphash.Bytes(d.seeds[1], lists)}
}

// keyOf is the key of lists in the file.
func keyOf(lists []byte) []byte {
	sum := sha256.Sum256(lists)
	return sum[:16]
}

// actor gives the number of whoever an event is about, and through which connection.
func (d *dictionary) actor(tx *statements, ev *audit.Event) (int64, error) {
	lists := d.listed([]string{ev.Who, ev.Subject, ev.CallerKind, ev.Owner, ev.Connection, ev.Role, ev.Client, ev.Purpose}, ev.Groups)
	key := d.quick(lists)
	if id, ok := d.actors[key]; ok {
		return id, nil
	}
	id, fresh, err := tx.idOf("SELECT id FROM actor WHERE key=?", "INSERT INTO actor (key, who, subject, kind, owner, connection, role, application, purpose) VALUES (?,?,?,?,?,?,?,?,?)",
		keyOf(lists), ev.Who, ev.Subject, ev.CallerKind, ev.Owner, ev.Connection, ev.Role, ev.Client, ev.Purpose)
	if err != nil {
		return 0, err
	}
	for _, g := range ev.Groups {
		if fresh {
			if err := tx.run(`INSERT OR IGNORE INTO member VALUES (?,?)`, id, g); err != nil {
				return 0, err
			}
		}
	}
	return remember(d.actors, key, id), nil
}

// shape gives the number of a statement without its values: its fingerprint, and what
// it touches, which the same text does not always. A text that has no fingerprint is
// its own shape.
func (d *dictionary) shape(tx *statements, ev *audit.Event) (int64, error) {
	if ev.SQL == "" && ev.Fingerprint == "" && ev.Statement == "" {
		return 0, nil
	}
	like, text := ev.Fingerprint, ""
	if like == "" {
		text = bare(ev.SQL)
		like = "text " + text
	}
	lists := d.listed([]string{like, ev.Statement}, ev.Reads, ev.Writes, ev.Signs, ev.Personal)
	key := d.quick(lists)
	if id, ok := d.shapes[key]; ok {
		return id, nil
	}
	if text == "" {
		text = bare(ev.SQL)
	}
	id, fresh, err := tx.idOf("SELECT id FROM shape WHERE key=?", "INSERT INTO shape (key, fingerprint, statement, signs, text) VALUES (?,?,?,?,?)",
		keyOf(lists), ev.Fingerprint, ev.Statement, strings.Join(ev.Signs, " "), text)
	if err != nil {
		return 0, err
	}
	if fresh {
		if err := tx.run("INSERT INTO shape_text (rowid, text) VALUES (?,?)", id, text); err != nil {
			return 0, err
		}
		for _, name := range ev.Personal {
			if err := tx.run("INSERT OR IGNORE INTO holding VALUES (?,?)", id, name); err != nil {
				return 0, err
			}
		}
		for wrote, list := range [][]string{ev.Reads, ev.Writes} {
			for _, name := range list {
				if err := tx.run("INSERT OR IGNORE INTO touch VALUES (?,?,?)", id, name, wrote); err != nil {
					return 0, err
				}
			}
		}
	}
	return remember(d.shapes, key, id), nil
}

// statements are the prepared statements of one transaction.
type statements struct {
	tx   *sql.Tx
	made map[string]*sql.Stmt
}

func (s *statements) prepared(query string) (*sql.Stmt, error) {
	if st := s.made[query]; st != nil {
		return st, nil
	}
	st, err := s.tx.Prepare(query)
	if err != nil {
		return nil, err
	}
	s.made[query] = st
	return st, nil
}

func (s *statements) run(query string, args ...any) error {
	st, err := s.prepared(query)
	if err != nil {
		return err
	}
	_, err = st.Exec(args...)
	return err
}

// manyRows is how many rows one statement inserts.
const manyRows = 64

// many inserts rows of so many columns each, which values has one after the other, by an
// INSERT that lacks them.
func (s *statements) many(insert string, columns int, values []any) error {
	row := "(" + strings.Repeat("?,", columns-1) + "?)"
	for len(values) > 0 {
		n := min(manyRows, len(values)/columns)
		if n < manyRows {
			n = 1 // few forms of statement are prepared
		}
		if err := s.run(insert+strings.Repeat(row+",", n-1)+row, values[:n*columns]...); err != nil {
			return err
		}
		values = values[n*columns:]
	}
	return nil
}

// idOf finds a row by its first argument, or makes it of all of them.
func (s *statements) idOf(find, add string, args ...any) (id int64, fresh bool, err error) {
	st, err := s.prepared(find)
	if err != nil {
		return 0, false, err
	}
	switch err := st.QueryRow(args[0]).Scan(&id); {
	case err == nil:
		return id, false, nil
	case err != sql.ErrNoRows:
		return 0, false, err
	}
	if st, err = s.prepared(add); err != nil {
		return 0, false, err
	}
	res, err := st.Exec(args...)
	if err != nil {
		return 0, false, err
	}
	id, err = res.LastInsertId()
	return id, true, err
}
