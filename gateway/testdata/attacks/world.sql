-- What is attacked. Each family adds what it needs beside this.
create table accounts (id int primary key, owner text not null, email text, balance int not null, active bool not null default true, note text);
insert into accounts select i, 'Owner ' || i, 'owner' || i || '@example.com', 100 + i, i % 2 = 0, case when i % 3 = 0 then 'late' end from generate_series(1, 20) i;
create table cities (id int primary key, name text not null);
insert into cities select i, 'Town ' || i from generate_series(1, 20) i;
create table payments (id int primary key, account_id int not null, amount int not null);
insert into payments select i, i, 10 * i from generate_series(1, 20) i;
create table secrets (id int primary key, word text not null);
insert into secrets values (1, 'swordfish'), (2, 'open sesame');
create sequence invoices;
create view rich as select id, owner, balance from accounts where balance > 0;
do $$ begin
	if not exists (select from pg_roles where rolname = 'intern') then
		create role intern nologin;
		create role boss nologin superuser;
		create role leaver nologin;
		create role nobodys nologin;
	end if;
end $$;
grant usage on schema public to intern;
analyze;
