-- The sample shop. Everything is derived from row numbers by arithmetic, so
-- that two loads on any two servers hold the same rows. No row describes a
-- real person: domains are example.com and example.org, cards are in test
-- ranges, bank codes are not assigned.

create function pg_temp.pick(n bigint, salt int, m int) returns int
language plpgsql immutable as $$
declare x bigint := (n * 7919 + salt * 104729) & 2147483647;
begin
  x := ((x # (x >> 15)) * 2146121005) & 2147483647;
  x := ((x # (x >> 14)) * 1597334677) & 2147483647;
  return (x # (x >> 16)) % m;
end $$;

-- A number whose last digit satisfies Luhn's formula.
create function pg_temp.luhn(body text) returns text
language plpgsql immutable as $$
declare total int := 0; digit int; i int;
begin
  for i in 1 .. length(body) loop
    digit := substr(body, length(body) - i + 1, 1)::int;
    if i % 2 = 1 then
      digit := digit * 2;
      if digit > 9 then digit := digit - 9; end if;
    end if;
    total := total + digit;
  end loop;
  return body || ((10 - total % 10) % 10)::text;
end $$;

-- An IBAN with right check digits (ISO 13616: letters count from A = 10).
create function pg_temp.iban(country text, bban text) returns text
language plpgsql immutable as $$
declare digits text := bban || (ascii(substr(country, 1, 1)) - 55)::text
                            || (ascii(substr(country, 2, 1)) - 55)::text || '00';
begin
  return country || lpad((98 - digits::numeric % 97)::text, 2, '0') || bban;
end $$;

create temp table culture (
  id int, country text, first text[], last text[], first_ascii text[], last_ascii text[],
  city text[], street text[], postcode text, phone text, iban_digits int
) on commit drop;
insert into culture values
(0, 'GB', '{Oliver,Amelia,Harry,Isla,George,Freya,Arthur,Poppy}', '{Whitfield,Ashdown,Carraway,Penrose,Hartley,Lockwood,Marlowe,Thorne}',
  null, null, '{London,Leeds,Bristol,Cardiff}', '{Mill Lane,Station Road,Kingsway,Orchard Close}', 'LS1 #AB', '+44 7700 900###', null),
(1, 'US', '{Liam,Ava,Noah,Mia,Ethan,Zoe,Jayden,Hannah}', '{Brooks,Delgado,Sullivan,Washington,Ramirez,Kowalski,Bennett,O''Connor}',
  null, null, '{Portland,Austin,Denver,Boston}', '{Elm Street,Maple Avenue,Lakeview Drive,5th Avenue}', '97###', '+1 202-555-01##', null),
(2, 'DE', '{Jürgen,Käthe,Lukas,Anneliese,Björn,Greta,Matthias,Zoë}', '{Müller,Schröder,Weiß,Krämer,Vogel,Böhm,Lange,Jäger}',
  null, null, '{Berlin,München,Köln,Leipzig}', '{Gartenstraße,Am Bahnhof,Lindenallee,Schillerweg}', '10###', '+49 176 040690##', 18),
(3, 'FR', '{Élodie,François,Chloé,Rémi,Agnès,Théo,Océane,Benoît}', '{Lefèvre,Moreau,Girard,Bélanger,Dupré,Marchand,Noël,Rousseau}',
  null, null, '{Lyon,Nantes,Lille,Marseille}', '{rue des Lilas,avenue Foch,place du Marché,quai Ouest}', '69###', '+33 6 39 98 ## ##', 23),
(4, 'ES', '{Lucía,Álvaro,Inés,Íñigo,Begoña,Raúl,Martín,Sofía}', '{García López,Núñez,Ibáñez,Peña,Cortés,Vázquez,Muñoz,Jiménez}',
  null, null, '{Madrid,Sevilla,Bilbao,Valencia}', '{calle Mayor,avenida del Sol,plaza Nueva,calle Luna}', '28###', '+34 600 000 ###', 20),
(5, 'PL', '{Małgorzata,Łukasz,Zofia,Bartłomiej,Jadwiga,Paweł,Świętosława,Michał}', '{Wiśniewska,Dąbrowski,Zając,Król,Wójcik,Gołąb,Nowak,Źródlany}',
  null, null, '{Kraków,Gdańsk,Łódź,Poznań}', '{ulica Polna,ulica Długa,aleja Róż,ulica Leśna}', '31-###', '+48 500 000 ###', 24),
(6, 'JP', '{愛,蓮,陽菜,悠真,結衣,大翔,さくら,健}', '{佐藤,鈴木,高橋,田中,渡辺,伊藤,山本,中村}',
  '{ai,ren,hina,yuma,yui,hiroto,sakura,ken}', '{sato,suzuki,takahashi,tanaka,watanabe,ito,yamamoto,nakamura}',
  '{東京,大阪,京都,札幌}', '{本町,桜丘,緑町,栄}', '150-0###', '+81 90-0000-0###', null),
(7, 'UA', '{Олена,Тарас,Ірина,Богдан,Марія,Андрій,Оксана,Дмитро}', '{Шевченко,Коваль,Бондар,Мельник,Ткаченко,Лисенко,Савчук,Гончар}',
  '{olena,taras,iryna,bohdan,mariia,andrii,oksana,dmytro}', '{shevchenko,koval,bondar,melnyk,tkachenko,lysenko,savchuk,honchar}',
  '{Київ,Львів,Одеса,Харків}', '{вулиця Садова,вулиця Лесі Українки,проспект Миру,вулиця Зелена}', '01###', '+380 50 000 0###', null),
(8, 'EG', '{ليلى,عمر,فاطمة,يوسف,نور,خالد,مريم,حسن}', '{منصور,الحداد,سليمان,النجار,فاروق,الشريف,رمضان,عثمان}',
  '{layla,omar,fatima,youssef,nour,khaled,mariam,hassan}', '{mansour,elhaddad,soliman,elnaggar,farouk,elsherif,ramadan,othman}',
  '{القاهرة,الإسكندرية,الجيزة,أسوان}', '{شارع النيل,شارع التحرير,شارع الجامعة,شارع الزهور}', '11###', '+20 100 000 0###', null),
(9, 'IN', '{Aarav,Priya,Rohan,Ananya,Vikram,Meera,Arjun,Lakshmi}', '{Iyer,Chatterjee,Patel,Kulkarni,Singh,Reddy,Banerjee,Nair}',
  null, null, '{Pune,Chennai,Kolkata,Jaipur}', '{MG Road,Park Street,Temple Lane,Lake View Road}', '411###', '+91 90000 00###', null),
(10, 'NG', '{Chidinma,Tunde,Ngozi,Emeka,Adaeze,Ifeanyi,Folake,Oluwaseun}', '{Okafor,Adeyemi,Eze,Balogun,Nwosu,Ogunleye,Abiola,Danjuma}',
  null, null, '{Lagos,Abuja,Ibadan,Enugu}', '{Broad Street,Unity Road,Palm Avenue,Market Road}', '100###', '+234 800 000 0###', null),
(11, 'BR', '{João,Conceição,Thiago,Letícia,Caio,Júlia,Antônio,Débora}', '{da Silva,Gonçalves,Araújo,Simões,dos Santos,Magalhães,Nóbrega,Falcão}',
  null, null, '{São Paulo,Recife,Curitiba,Salvador}', '{rua das Flores,avenida Brasil,travessa do Porto,rua Sete}', '010##-000', '+55 11 90000-0###', null);

-- '#' in a shape becomes a digit.
create function pg_temp.shape(pattern text, n bigint) returns text
language plpgsql immutable as $$
declare i int := 0;
begin
  while position('#' in pattern) > 0 loop
    pattern := overlay(pattern placing pg_temp.pick(n, 70 + i, 10)::text from position('#' in pattern) for 1);
    i := i + 1;
  end loop;
  return pattern;
end $$;

-- How an address at a mail provider writes a name.
create function pg_temp.plain(name text) returns text
language sql immutable as $$
  select regexp_replace(translate(replace(lower(name), 'ß', 'ss'),
    'áàâãäåąćçďéèêëęěíìîïłñńňóòôõöőøŕřśšťúùûüűůýźžżğış',
    'aaaaaaaccdeeeeeeiiiilnnnooooooorrsstuuuuuuyzzzgis'), '[^a-z]', '', 'g')
$$;

create table employees (
  id int primary key,
  full_name text not null,
  email text not null unique,
  department text not null,
  job_title text not null,
  salary_cents bigint not null,
  hired_on date not null,
  manager_id int references employees
);
comment on table employees is 'Staff of the shop';
comment on column employees.salary_cents is 'Yearly gross salary, confidential';
insert into employees
select n, c.first[1 + pg_temp.pick(n, 1, 8)] || ' ' || c.last[1 + pg_temp.pick(n, 2, 8)],
  pg_temp.plain(coalesce(c.first_ascii[1 + pg_temp.pick(n, 1, 8)], c.first[1 + pg_temp.pick(n, 1, 8)])) || n || '@shop.example.com',
  (array['support','warehouse','finance','engineering','marketing'])[1 + n % 5],
  case when n <= 5 then 'head of department' else (array['specialist','senior specialist','coordinator'])[1 + pg_temp.pick(n, 3, 3)] end,
  3200000 + pg_temp.pick(n, 4, 60) * 100000, date '2015-02-01' + pg_temp.pick(n, 5, 3900),
  case when n > 5 then 1 + n % 5 end
from generate_series(1, 60) n join culture c on c.id = pg_temp.pick(n, 0, 12);

create table categories (
  id int primary key,
  parent_id int references categories,
  name text not null unique,
  slug text not null unique
);
insert into categories
select n, case when n > 6 then 1 + (n - 1) % 6 end, w.name, replace(lower(w.name), ' ', '-')
from unnest('{Kitchen,Garden,Books,Toys,Sports,Office,Cookware,Tools,Novels,Puzzles,Cycling,Paper goods,Knives,Seeds,Travel guides,Board games,Running,Desks,Glassware,Planters,Comics,Plush,Climbing,Lamps}'::text[])
  with ordinality as w(name, n);

create table products (
  id int primary key,
  category_id int not null references categories,
  sku text not null unique,
  name text not null,
  description text not null,
  price_cents int not null check (price_cents > 0),
  currency char(3) not null default 'EUR',
  weight_grams int not null,
  stock int not null,
  attributes jsonb not null
);
create index products_category on products (category_id);
insert into products
select n, c.id, 'SKU-' || lpad((100000 + n * 37)::text, 6, '0'),
  (array['Classic','Nordic','Compact','Deluxe','Everyday','Studio','Vintage','Ultra'])[1 + pg_temp.pick(n, 1, 8)] || ' ' || c.name || ' No. ' || n,
  'A ' || (array['sturdy','light','handmade','recycled','foldable'])[1 + pg_temp.pick(n, 2, 5)] || ' piece for the ' || lower(c.name) || ' shelf.',
  199 + pg_temp.pick(n, 3, 400) * 50, 'EUR', 50 + pg_temp.pick(n, 4, 200) * 25, pg_temp.pick(n, 5, 500),
  jsonb_build_object('colour', (array['red','oak','slate','white'])[1 + pg_temp.pick(n, 6, 4)], 'warranty_months', 12 * (1 + pg_temp.pick(n, 7, 3)))
from generate_series(1, 800) n join categories c on c.id = 1 + pg_temp.pick(n, 0, 24);

create table customers (
  id int primary key,
  first_name text not null,
  last_name text not null,
  email text not null unique,
  phone text,
  date_of_birth date,
  country char(2) not null,
  loyalty_tier text not null,
  password_hash text not null,
  profile jsonb not null,
  created_at timestamptz not null
);
comment on table customers is 'People who have an account';
comment on column customers.email is 'Login name and address for order mail';
comment on column customers.profile is 'Settings, and sometimes a second address';
create index customers_country on customers (country);
create index customers_name on customers (last_name, first_name);
insert into customers
select n, c.first[f], c.last[l],
  pg_temp.plain(coalesce(c.first_ascii[f], c.first[f])) || '.' || pg_temp.plain(coalesce(c.last_ascii[l], c.last[l])) || n
    || case when n % 3 = 0 then '@example.org' else '@example.com' end,
  case when pg_temp.pick(n, 3, 12) > 0 then pg_temp.shape(c.phone, n) end,
  case when pg_temp.pick(n, 4, 15) > 0 then date '1942-01-01' + pg_temp.pick(n, 5, 23700) end,
  c.country, (array['basic','basic','basic','silver','silver','gold'])[1 + pg_temp.pick(n, 6, 6)],
  '$2b$12$' || left(translate(encode(sha512(('shop' || n)::bytea), 'base64'), E'+=\n', './'), 53),
  jsonb_build_object('newsletter', n % 2 = 0, 'language', lower(c.country))
    || case when n % 7 = 0 then jsonb_build_object('backup_email', 'second.' || n || '@example.org') else '{}' end,
  timestamptz '2021-03-01 08:00:00+00' + pg_temp.pick(n, 7, 48000) * interval '1 hour'
from (select n, pg_temp.pick(n, 0, 12) cid, 1 + pg_temp.pick(n, 1, 8) f, 1 + pg_temp.pick(n, 2, 8) l from generate_series(1, 5000) n) s
join culture c on c.id = s.cid;

create table addresses (
  id int primary key,
  customer_id int not null references customers on delete cascade,
  kind text not null check (kind in ('billing', 'shipping')),
  street text not null,
  postcode text not null,
  city text not null,
  country char(2) not null
);
create index addresses_customer on addresses (customer_id);
insert into addresses
select n, k.id, case when n <= 5000 then 'billing' else 'shipping' end,
  case when c.id in (0, 1, 3, 9, 10) then (1 + pg_temp.pick(n, 11, 180)) || ' ' || c.street[1 + pg_temp.pick(n, 12, 4)]
       else c.street[1 + pg_temp.pick(n, 12, 4)] || ' ' || (1 + pg_temp.pick(n, 11, 180)) end,
  pg_temp.shape(c.postcode, n), c.city[1 + pg_temp.pick(n, 13, 4)], c.country
from generate_series(1, 6500) n
join customers k on k.id = case when n <= 5000 then n else 1 + pg_temp.pick(n, 10, 5000) end
join culture c on c.country = k.country;

create table payment_methods (
  id int primary key,
  customer_id int not null references customers on delete cascade,
  kind text not null check (kind in ('card', 'iban')),
  card_number text,
  card_expires text,
  iban text,
  holder text not null
);
comment on column payment_methods.card_number is 'Kept in clear here on purpose: a thing to find and hide';
create index payment_methods_customer on payment_methods (customer_id);
insert into payment_methods
select k.id, k.id, case when b.bank then 'iban' else 'card' end,
  case when not b.bank then pg_temp.luhn(case k.id % 3
    when 0 then '400000' || lpad((k.id * 7 + 100)::text, 9, '0')
    when 1 then '555555' || lpad((k.id * 11 + 100)::text, 9, '0')
    else '378282' || lpad((k.id * 13 + 100)::text, 8, '0') end) end,
  case when not b.bank then lpad((1 + pg_temp.pick(k.id, 22, 12))::text, 2, '0') || '/' || (27 + pg_temp.pick(k.id, 23, 5)) end,
  case when b.bank then pg_temp.iban(k.country, lpad((k.id::bigint * 7654321 + 1000000000)::text, c.iban_digits, '0')) end,
  k.first_name || ' ' || k.last_name
from customers k join culture c on c.country = k.country
cross join lateral (select c.iban_digits is not null and pg_temp.pick(k.id, 20, 2) = 0 as bank) b
where k.id <= 3000;

create table orders (
  id int primary key,
  customer_id int not null references customers,
  shipping_address_id int references addresses,
  status text not null check (status in ('open', 'paid', 'shipped', 'delivered', 'returned', 'cancelled')),
  total_cents bigint not null default 0,
  currency char(3) not null default 'EUR',
  placed_at timestamptz not null
);
create index orders_customer on orders (customer_id);
create index orders_placed on orders (placed_at);
create index orders_open on orders (id) where status = 'open';
insert into orders (id, customer_id, shipping_address_id, status, placed_at)
select n, s.customer, s.customer,
  (array['open','paid','shipped','delivered','delivered','delivered','delivered','returned','cancelled'])[1 + pg_temp.pick(n, 31, 9)],
  timestamptz '2024-01-01 06:00:00+00' + n * interval '199 minutes'
from (select n, 1 + pg_temp.pick(n, 30, 5000) customer from generate_series(1, 7000) n) s;

create table order_items (
  order_id int not null references orders on delete cascade,
  line int not null,
  product_id int not null references products,
  quantity int not null check (quantity > 0),
  unit_price_cents int not null,
  primary key (order_id, line)
);
create index order_items_product on order_items (product_id);
insert into order_items
select o.id, l.line, p.id, 1 + pg_temp.pick(o.id, 40 + l.line, 4), p.price_cents
from orders o cross join lateral generate_series(1, 1 + pg_temp.pick(o.id, 39, 3)) l(line)
join products p on p.id = 1 + pg_temp.pick(o.id, 50 + l.line, 800);
update orders o set total_cents = s.total
from (select order_id, sum(quantity * unit_price_cents) total from order_items group by order_id) s where s.order_id = o.id;

create table payments (
  id int primary key,
  order_id int not null references orders,
  payment_method_id int references payment_methods,
  amount_cents bigint not null,
  state text not null check (state in ('authorised', 'captured', 'refunded')),
  card_last4 char(4),
  paid_at timestamptz not null
);
create index payments_order on payments (order_id);
insert into payments
select row_number() over (order by o.id), o.id, m.id, o.total_cents,
  case o.status when 'returned' then 'refunded' when 'paid' then 'authorised' else 'captured' end,
  right(m.card_number, 4), o.placed_at + interval '4 minutes'
from orders o left join payment_methods m on m.customer_id = o.customer_id
where o.status not in ('open', 'cancelled');

create table shipments (
  id int primary key,
  order_id int not null references orders,
  carrier text not null,
  tracking_code text not null unique,
  shipped_at timestamptz not null,
  delivered_at timestamptz
);
create index shipments_order on shipments (order_id);
insert into shipments
select row_number() over (order by o.id), o.id, (array['Parcelo','NordPost','QuickVan'])[1 + pg_temp.pick(o.id, 61, 3)],
  'TRK' || lpad((o.id::bigint * 48271 % 99999989)::text, 10, '0'), o.placed_at + interval '1 day',
  case when o.status <> 'shipped' then o.placed_at + (2 + pg_temp.pick(o.id, 62, 5)) * interval '1 day' end
from orders o where o.status in ('shipped', 'delivered', 'returned');

create table reviews (
  id int primary key,
  product_id int not null references products,
  customer_id int not null references customers,
  stars int not null check (stars between 1 and 5),
  body text not null,
  written_on date not null
);
create index reviews_product on reviews (product_id);
insert into reviews
select n, 1 + pg_temp.pick(n, 81, 800), 1 + pg_temp.pick(n, 82, 5000), 1 + pg_temp.pick(n, 83, 5),
  (array['Does what it should.','Arrived quickly and well packed.','The colour differs from the picture.','Would buy again.','Broke after two weeks.'])[1 + pg_temp.pick(n, 84, 5)],
  date '2024-02-01' + pg_temp.pick(n, 85, 900)
from generate_series(1, 2500) n;

create table support_tickets (
  id int primary key,
  customer_id int not null references customers,
  order_id int references orders,
  assigned_to int references employees,
  subject text not null,
  body text not null,
  state text not null check (state in ('new', 'waiting', 'solved')),
  opened_at timestamptz not null
);
comment on column support_tickets.body is 'Free text as the customer wrote it';
create index support_tickets_customer on support_tickets (customer_id);
insert into support_tickets
select o.id, o.customer_id, o.id, 1 + pg_temp.pick(o.id, 91, 60),
  (array['Where is my order?','Wrong address','Refund please','Invoice needed'])[1 + o.id % 4],
  case o.id % 4
    when 0 then 'Order ' || o.id || ' has not arrived. Please write to ' || k.email || ' when it ships.'
    when 1 then 'I moved. My new number is ' || coalesce(k.phone, 'in my profile') || ', call me, ' || k.first_name || ' ' || k.last_name || '.'
    when 2 then 'The parcel was damaged, I would like my money back.'
    else 'Please send the invoice for order ' || o.id || ' to accounting.' || k.id || '@example.org, thank you!' end,
  (array['new','waiting','solved','solved'])[1 + pg_temp.pick(o.id, 92, 4)], o.placed_at + interval '5 days'
from orders o join customers k on k.id = o.customer_id where o.id <= 2000;

create table login_events (
  id int primary key,
  customer_id int not null references customers on delete cascade,
  ip_address inet not null,
  user_agent text not null,
  succeeded boolean not null,
  at timestamptz not null
);
create index login_events_customer on login_events (customer_id, at);
insert into login_events
select n, 1 + pg_temp.pick(n, 101, 5000),
  case when n % 6 = 0 then ('2001:db8::' || to_hex(1 + pg_temp.pick(n, 102, 65000)))::inet
       else ((array['192.0.2.','198.51.100.','203.0.113.'])[1 + pg_temp.pick(n, 103, 3)] || (1 + pg_temp.pick(n, 104, 254)))::inet end,
  (array['Mozilla/5.0 (Macintosh)','Mozilla/5.0 (X11; Linux x86_64)','ShopApp/4.2 iOS'])[1 + pg_temp.pick(n, 105, 3)],
  pg_temp.pick(n, 106, 20) > 0, timestamptz '2026-01-01 00:00:00+00' + n * interval '83 minutes'
from generate_series(1, 4000) n;

create view customer_overview as
select c.id, c.first_name || ' ' || c.last_name as name, c.email, c.country, c.loyalty_tier,
  count(o.id) as orders, coalesce(sum(o.total_cents), 0) as spent_cents, max(o.placed_at) as last_order
from customers c left join orders o on o.customer_id = c.id and o.status <> 'cancelled'
group by c.id;
comment on view customer_overview is 'One line per customer, with what they bought';

create view open_orders as
select o.id, o.placed_at, o.total_cents, c.email as contact, a.city, a.country
from orders o join customers c on c.id = o.customer_id left join addresses a on a.id = o.shipping_address_id
where o.status in ('open', 'paid');

create view product_sales as
select p.id, p.name, g.name as category, coalesce(sum(i.quantity), 0) as sold, coalesce(sum(i.quantity * i.unit_price_cents), 0) as revenue_cents
from products p join categories g on g.id = p.category_id left join order_items i on i.product_id = p.id
group by p.id, g.name;

create materialized view revenue_by_month as
select date_trunc('month', placed_at at time zone 'UTC')::date as month, count(*) as orders, sum(total_cents) as revenue_cents
from orders where status <> 'cancelled' group by 1;
create unique index revenue_by_month_month on revenue_by_month (month);

drop function pg_temp.pick(bigint, int, int), pg_temp.luhn(text), pg_temp.iban(text, text), pg_temp.shape(text, bigint), pg_temp.plain(text);
analyze;
