package leak

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
)

// leakFor is how long statements are made. `make test` leaves it at a minute, `make fuzz`
// gives more.
var leakFor = flag.Duration("leakfor", time.Minute, "hunt for leaks with made statements for so long")

// fixedSeed makes the first statements of each run the same; the others are of the day.
const fixedSeed = 20261

// maxFinds ends a run: what is found so often is one hole.
const maxFinds = 5

// TestMadeStatementsLeakNothing sends statements made from a grammar, and short walks of
// some that write and then read, through a gateway. Whatever they do, no secret may be in
// what comes. LEAK=seed/number makes one again. A find is made as small as it gets, and
// belongs into testdata/attacks.
func TestMadeStatementsLeakNothing(t *testing.T) {
	h := &hunt{t: t, needles: newNeedles(flavours[0].secrets())}
	h.renew()
	var seed, number uint64
	if again := os.Getenv("LEAK"); again != "" {
		if _, err := fmt.Sscanf(again, "%d/%d", &seed, &number); err != nil {
			t.Fatalf("LEAK must be seed/number: %v", err)
		}
		h.try(seed, number)
		return
	}
	budget := *leakFor
	if testing.Short() {
		budget = min(budget, 5*time.Second)
	}
	day := uint64(time.Now().Unix() / 86400)
	if budget > time.Minute {
		day = uint64(time.Now().UnixNano())
	}
	for start, n := time.Now(), uint64(0); time.Since(start) < budget && h.finds < maxFinds; n++ {
		if n%2 == 0 {
			h.try(fixedSeed, n/2)
		} else {
			h.try(day, n/2)
		}
		if n%800 == 799 {
			h.renew() // the tables of so many walks slow the reading of the catalogue
		}
	}
	t.Logf("%d walks, %d statements: %d failed, %d were refused; of %d that ran directly too %d showed a secret; %d finds", h.walks, h.statements, h.failed, h.refused, h.direct, h.shown, h.finds)
	if h.finds < maxFinds && h.walks > 100 && (h.shown*4 < h.direct || h.refused*2 > h.statements) {
		t.Error("too few of the statements would show a secret directly, or run, to mean anything")
	}
}

// hunt is one run.
type hunt struct {
	t       *testing.T
	needles *needles
	house   *house
	free    string

	serial                                                   int
	walks, statements, failed, refused, finds, direct, shown int
}

const scratch = "create table scratch (a text, b text); insert into scratch select 'a' || i, 'b' || i from generate_series(1, 40) i; analyze scratch;"

// bounded ends what a made statement would do for long.
const bounded = "do $$ begin execute format('alter database %I set statement_timeout = ''3s''', current_database()); end $$;"

// renew takes a fresh world.
func (h *hunt) renew() {
	h.house = newHouse(h.t, flavours[0].sql(), scratch, bounded)
	if h.free == "" {
		h.free = pgtest.Database(h.t)
		pgtest.Exec(h.t, h.free, flavours[0].sql()+scratch+bounded)
	}
}

// try makes a walk and sends it.
func (h *hunt) try(seed, n uint64) {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, n))}
	list := m.walk()
	w := []way{simple, extended, binary, portions, copyText, copyBinary}[m.IntN(6)]
	c := &attack{messages: list}
	if w >= copyText && !(reads.MatchString(list[len(list)-1].sql) && !changes.MatchString(list[len(list)-1].sql)) {
		w = simple
	}
	kind := callers[m.IntN(len(callers))]
	h.walks++
	h.statements += len(list)
	if n%8 == 0 {
		h.directly(c, w)
	}
	secret, as, failed := h.through(c, w, kind)
	for _, f := range failed {
		h.failed++
		if os.Getenv("LEAK_DEBUG") != "" && !strings.HasPrefix(f, "42501") {
			h.t.Logf("%s: %.600s", f, written(c))
		}
		if strings.HasPrefix(f, "42501") {
			h.refused++
		}
	}
	if secret == "" {
		return
	}
	h.finds++
	small := h.smaller(c, w, kind)
	h.t.Errorf("LEAK=%d/%d %s, as a %s: %q by %q\nmade smaller, for testdata/attacks:\n%s", seed, n, w, kind, secret, as, written(small))
}

func (h *hunt) directly(c *attack, w way) {
	h.serial++
	conn, err := dial(h.free)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.close()
	if _, err := c.send(conn, simple, h.serial); err != nil {
		return
	}
	if _, err := conn.run(simple, message{sql: h.swept()}); err != nil {
		return
	}
	h.direct++
	if s, _ := h.needles.find(conn.got.texts()); s != "" {
		h.shown++
	}
}

// swept takes away what a walk made.
func (h *hunt) swept() string {
	return named("drop table if exists w{n}, v{n} cascade; drop function if exists g{n}() cascade; delete from scratch where b = 'x'", h.serial)
}

// through sends a walk through the gateway, and says which secret came.
func (h *hunt) through(c *attack, w way, kind identity.Kind) (secret, as string, failed []string) {
	h.serial++
	conn, err := h.house.as(kind, fmt.Sprintf("eve%d", h.serial))
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.close()
	failed, err = c.send(conn, w, h.serial)
	if err != nil && !ended(err) {
		h.t.Errorf("%s, as a %s: %v\n%s", w, kind, err, written(c))
	}
	secret, as = h.needles.find(conn.got.texts())
	return secret, as, failed
}

// smaller leaves out of a find, token by token and statement by statement, what it leaks
// without.
func (h *hunt) smaller(c *attack, w way, kind identity.Kind) *attack {
	const most = 400
	tries := 0
	leaks := func(list []message) bool {
		if tries++; tries > most {
			return false
		}
		s, _, _ := h.through(&attack{messages: list}, w, kind)
		return s != ""
	}
	list := append([]message(nil), c.messages...)
	for i := 0; i < len(list) && len(list) > 1; {
		if rest := append(append([]message(nil), list[:i]...), list[i+1:]...); leaks(rest) {
			list = rest
			continue
		}
		i++
	}
	for i := range list {
		toks := tokens(list[i].sql)
		for size := len(toks) / 2; size > 0 && tries < most; size /= 2 {
			for at := 0; at+size <= len(toks); {
				rest := append(append([]string(nil), toks[:at]...), toks[at+size:]...)
				next := append([]message(nil), list...)
				next[i].sql = strings.Join(rest, "")
				if leaks(next) {
					toks, list = rest, next
					continue
				}
				at += size
			}
		}
	}
	return &attack{messages: list}
}

// tokens cuts a text into words, numbers, strings and single signs, spaces kept with what
// stands before them.
func tokens(sql string) (out []string) {
	for i := 0; i < len(sql); {
		j := i + 1
		switch c := sql[i]; {
		case c == '\'':
			for j < len(sql) && sql[j] != '\'' {
				j++
			}
			j = min(j+1, len(sql))
		case wordByte(c):
			for j < len(sql) && wordByte(sql[j]) {
				j++
			}
		}
		for j < len(sql) && sql[j] == ' ' {
			j++
		}
		out = append(out, sql[i:j])
		i = j
	}
	return out
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// written is an attack as the corpus has it.
func written(c *attack) string {
	var list []string
	for _, m := range c.messages {
		list = append(list, m.sql)
	}
	return "== a find\n" + strings.Join(list, "\n;;\n") + "\n"
}
