package gateway_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehq/sluice/gateway"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/internal/pgtest"
	"github.com/sluicehq/sluice/policy"
)

// Attack: use a connection for which nobody said who may (PEERS B6: no access row, so
// every user sees every connection).
func TestConnectionWithoutGroupsAdmitsNobody(t *testing.T) {
	dsn := pgtest.Database(t)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	th := startOn(t, dsn, gateway.Connection{Name: "orders", Groups: []string{}, Database: cfg}, nil)
	for _, who := range []identity.Identity{person("ada"), person("root", "admin"), person("empty", "")} {
		if list := th.Connections(who); len(list) != 0 {
			t.Errorf("%s sees %d connections", who.Name(), len(list))
		}
		if conn, err := pgx.Connect(t.Context(), th.as(who)); err == nil {
			conn.Close(t.Context())
			t.Errorf("%s is let in", who.Name())
		}
	}
}

func TestWhoMayOpenWhat(t *testing.T) {
	dsn := pgtest.Database(t)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	th := startOn(t, dsn, gateway.Connection{Name: "all", Groups: []string{"*"}, Database: cfg}, nil, func(c *gateway.Config) {
		c.Connections = append(c.Connections, gateway.Connection{Name: "pay", Groups: []string{"payments"}, Database: cfg}, gateway.Connection{Name: "closed", Database: cfg})
	})
	who := func(change func(*identity.Identity)) identity.Identity {
		id := identity.Identity{Subject: "x", Kind: identity.Job, Expires: time.Now().Add(time.Hour)}
		change(&id)
		return id
	}
	for name, c := range map[string]struct {
		who  identity.Identity
		want string
	}{
		"a person":                        {person("ada"), "all"},
		"a member":                        {person("ina", "payments"), "all pay"},
		"a group named as everyone":       {person("eve", "*"), "all"},
		"a token bound to one":            {who(func(id *identity.Identity) { id.Groups, id.Only = []string{"payments"}, []string{"all"} }), "all"},
		"a token bound beyond its groups": {who(func(id *identity.Identity) { id.Only = []string{"pay"} }), ""},
		"what an administrator bound so":  {who(func(id *identity.Identity) { id.Only, id.Granted = []string{"pay"}, true }), "pay"},
		"granted, but bound to nothing":   {who(func(id *identity.Identity) { id.Granted = true }), "all"},
		"granted what is closed":          {who(func(id *identity.Identity) { id.Only, id.Granted = []string{"closed"}, true }), "closed"},
		"bound to what does not exist":    {who(func(id *identity.Identity) { id.Only, id.Granted = []string{"nothing"}, true }), ""},
		"an agent with its owner's groups": {who(func(id *identity.Identity) {
			id.Kind, id.Groups, id.Owner = identity.Agent, []string{"payments"}, "ina"
		}), "all pay"},
		"a name in another case":             {person("ina", "Payments"), "all"},
		"a name with a space at its end":     {person("ina", "payments "), "all"},
		"a name with a letter that looks so": {person("ina", "pаyments"), "all"},
	} {
		var got []string
		for _, conn := range th.Connections(c.who) {
			got = append(got, conn.Name)
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s: %q, want %q", name, g, c.want)
		}
	}
}

// Attack: an agent or a job in the administrators' group looks at everyone's sessions.
func TestMachinesAreNoAdministrators(t *testing.T) {
	th := start(t, "dev", "", nil)
	connect(t, th.as(person("ada")))
	sees := func(kind identity.Kind, owner string) int {
		return len(th.Sessions(identity.Identity{Subject: "x", Kind: kind, Owner: owner, Groups: []string{"admin", "audit"}, Expires: time.Now().Add(time.Hour)}))
	}
	if sees(identity.Person, "") != 1 || sees(identity.Agent, "bob") != 0 || sees(identity.Job, "") != 0 {
		t.Errorf("person %d, agent %d, job %d", sees(identity.Person, ""), sees(identity.Agent, "bob"), sees(identity.Job, ""))
	}
	if sees(identity.Agent, "ada") != 0 {
		t.Error("an agent sees its owner's sessions")
	}
	other := person("ada")
	other.Issuer = "https://other.example.com"
	if n := len(th.Sessions(other)); n != 0 {
		t.Error("the same subject of another issuer is taken for the same caller")
	}
}

func TestListSaysWhatAppliesToMeThere(t *testing.T) {
	rules, err := policy.Load("p.yaml", []byte(`builtin: false
rules:
  - {name: prod, when: 'connection.env == "prod" && statement.writes', effect: deny, reason: not here}
  - {name: others, when: '"dba" in who.groups && statement.writes', effect: deny, reason: not you}
  - {name: shows, when: '"support" in who.groups', unmask: [email], max_rows: 5}
  - {name: rest, when: 'true', effect: allow}
`))
	if err != nil {
		t.Fatal(err)
	}
	dsn := pgtest.Database(t)
	cfg, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	th := startOn(t, dsn, gateway.Connection{Name: "a", Env: "prod", Database: cfg}, rules, func(c *gateway.Config) {
		c.Connections = append(c.Connections, gateway.Connection{Name: "b", Env: "dev", Groups: []string{"*"}, Database: cfg})
	})
	list := th.Connections(person("sue", "support"))
	if len(list) != 2 {
		t.Fatalf("%d connections", len(list))
	}
	shows := []string{"shows (unmask): you may see in clear: email", "shows (max_rows): a statement changes at most 5 rows"}
	if want := append([]string{"prod (deny): not here"}, shows...); !slices.Equal(list[0].Rules, want) {
		t.Errorf("in production: %q", list[0].Rules)
	}
	if !slices.Equal(list[1].Rules, shows) {
		t.Errorf("elsewhere: %q", list[1].Rules)
	}
}
