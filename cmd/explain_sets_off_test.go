package cmd

import (
	"strings"
	"testing"

	"github.com/sluicehq/sluice/internal/pgtest"
)

// A person sees what a statement sets off and why, and what was not understood of it.
func TestExplainShowsWhatIsSetOff(t *testing.T) {
	dsn := pgtest.Database(t)
	pgtest.Exec(t, dsn, `create table customers (id int primary key); create table orders (id int primary key, c int references customers on delete cascade);
create table audit_log (what text);
create function audited() returns trigger language plpgsql as $$ begin insert into audit_log values (old::text); return old; end $$;
create trigger audit after delete on orders for each row execute function audited();
create table opaque (id int);
create function opaque() returns trigger language plpgsql as $$ begin
  execute format('delete from %I', 'orders'); return new; end $$;
create trigger opaque before insert on opaque for each row execute function opaque();
create table days (d int) partition by range (d);
do $$ begin for i in 1..8 loop execute format('create table days_%s partition of days for values from (%s) to (%s)', i, i, i + 1); end loop; end $$;`)
	w := &town{t: t}
	for sql, want := range map[string]string{
		"delete from customers where id = 1": `
├─ writes      public.customers
├─ sets off
│  ├─ insert public.audit_log  trigger audit on public.orders
│  └─ delete public.orders     foreign key orders_c_fkey to public.customers
`,
		"insert into days values (1)": `
├─ writes    public.days
├─ sets off
│  ├─ insert public.days_1  it is a partition of public.days
│  ├─ insert public.days_2  it is a partition of public.days
│  ├─ insert public.days_3  it is a partition of public.days
│  ├─ insert public.days_4  it is a partition of public.days
│  ├─ insert public.days_5  it is a partition of public.days
│  └─ and 3 more            it is a partition of public.days
`,
		"insert into opaque values (1)": `
├─ problem  trigger opaque on public.opaque: function public.opaque runs dynamic SQL at line 2
`,
	} {
		code, out, errs := w.run(t.TempDir(), "", "explain", "--dsn", dsn, "-c", sql)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d, %s\n%s", sql, code, errs, out)
		}
	}
	code, out, errs := w.run(t.TempDir(), "", "explain", "--dsn", dsn, "-o", "json", "-c", "delete from customers where id = 1")
	const want = `"consequences":[{"relation":"public.audit_log","kind":"insert","why":"trigger audit on public.orders"},` +
		`{"relation":"public.orders","kind":"delete","why":"foreign key orders_c_fkey to public.customers"}]`
	if code != 0 || !strings.Contains(out, want) || !strings.Contains(out, `"writes":["public.audit_log","public.customers","public.orders"],"target":"public.customers"`) {
		t.Errorf("%d, %s\n%s", code, errs, out)
	}
}
