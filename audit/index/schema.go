package index

// version is of the schema and of what is put into it. An index of another version is
// made anew.
const version = 5

// schema is also what `sluice audit sql` shows to those who write SQL: the tables are
// plain, and the views give names to what is a number in them.
const schema = `
CREATE TABLE about (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE session (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE actor (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,
	who TEXT, subject TEXT, kind TEXT, owner TEXT, connection TEXT, role TEXT, application TEXT, purpose TEXT);
CREATE TABLE member (actor INTEGER, "group" TEXT, PRIMARY KEY (actor, "group")) WITHOUT ROWID;
CREATE TABLE shape (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, fingerprint TEXT, statement TEXT, signs TEXT, text TEXT);
CREATE TABLE touch (shape INTEGER, name TEXT, wrote INTEGER, PRIMARY KEY (shape, name, wrote)) WITHOUT ROWID;
CREATE TABLE holding (shape INTEGER, name TEXT, PRIMARY KEY (shape, name)) WITHOUT ROWID;
CREATE TABLE event (seq INTEGER PRIMARY KEY, time INTEGER, kind INTEGER, actor INTEGER, session INTEGER, shape INTEGER,
	effect INTEGER, rule INTEGER, outcome INTEGER, rows INTEGER, bytes INTEGER, masked INTEGER, ending INTEGER);
CREATE TABLE approval (event INTEGER, answer INTEGER, who TEXT, PRIMARY KEY (event, who)) WITHOUT ROWID;
CREATE INDEX approval_who ON approval (who);
CREATE TABLE run (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, job TEXT);
CREATE INDEX run_job ON run (job);
CREATE TABLE part (run INTEGER, event INTEGER, PRIMARY KEY (run, event)) WITHOUT ROWID;
CREATE TABLE block (id INTEGER PRIMARY KEY, first INTEGER, last INTEGER, data BLOB);
CREATE TABLE place (id INTEGER PRIMARY KEY, offset INTEGER);
CREATE VIRTUAL TABLE shape_text USING fts5(text, content='', columnsize=0, tokenize='trigram');
CREATE VIRTUAL TABLE word USING fts5(words, content='', contentless_delete=1, detail='none', tokenize="ascii tokenchars '_'");

CREATE VIEW events AS SELECT e.seq, strftime('%Y-%m-%dT%H:%M:%fZ', e.time/1e6, 'unixepoch') AS time, k.text AS kind,
	a.who, a.subject, a.kind AS caller_kind, a.owner, a.connection, a.role, a.application, a.purpose, s.text AS session,
	h.statement, h.fingerprint, h.text AS sql, h.signs, f.text AS effect, r.text AS rule, o.text AS outcome,
	e.rows, e.bytes, e.masked
	FROM event e JOIN name k ON k.id=e.kind JOIN actor a ON a.id=e.actor LEFT JOIN session s ON s.id=e.session
	LEFT JOIN shape h ON h.id=e.shape LEFT JOIN name f ON f.id=e.effect LEFT JOIN name r ON r.id=e.rule LEFT JOIN name o ON o.id=e.outcome;
CREATE VIEW runs AS SELECT p.event AS seq, r.text AS run, r.job FROM part p JOIN run r ON r.id=p.run;
CREATE VIEW touches AS SELECT e.seq, t.name, t.wrote FROM event e JOIN touch t ON t.shape=e.shape;
`
