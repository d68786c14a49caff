package gateway_test

import (
	"context"
	"testing"
)

const people = `
create table people (id int primary key, name text, email text, age int, city text);
insert into people select i, 'Ada Lovelace', 'ada' || i || '@example.com', 20 + i % 50, 'Berlin' from generate_series(1, 500) i;
analyze people;`

func TestReadIsMaskedInEveryQueryMode(t *testing.T) {
	th := start(t, "dev", people, nil)
	conn := connect(t, th.as(person("ada")))
	var id int
	var email string
	if err := conn.QueryRow(context.Background(), "select id, email from people where id = $1", 7).Scan(&id, &email); err != nil {
		t.Fatal(err)
	}
	t.Log(id, email)
	if id != 7 || email == "ada7@example.com" {
		t.Fatalf("got %d %q", id, email)
	}
}
