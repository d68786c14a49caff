package gateway_test

const people = `
create table people (id int primary key, name text, email text, age int, city text);
insert into people select i, 'Ada Lovelace', 'ada' || i || '@example.com', 20 + i % 50, 'Berlin' from generate_series(1, 500) i;
analyze people;`
