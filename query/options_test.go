package query

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCopyOptions(t *testing.T) {
	st := one(t, "COPY t TO STDOUT (FORMAT csv, HEADER, DELIMITER ';', \"Encoding\" 'UTF8')")
	want := map[string]string{"format": "csv", "header": "true", "delimiter": ";", "encoding": "UTF8"}
	if d := cmp.Diff(want, st.Options); d != "" {
		t.Error(d)
	}
	if st := one(t, "COPY BINARY t TO STDOUT"); st.Options["format"] != "binary" {
		t.Errorf("options %v", st.Options)
	}
	if st := one(t, "COPY t TO STDOUT WITH CSV HEADER"); st.Options["format"] != "csv" {
		t.Errorf("options %v", st.Options)
	}
}

func TestSetTo(t *testing.T) {
	for sql, want := range map[string]string{
		"SET standard_conforming_strings = OFF": "off", "SET client_encoding TO 'SJIS'": "sjis", "SET a.b TO DEFAULT": "",
		"RESET client_encoding": "", "SET search_path = a, b": "?", "SET statement_timeout = 5": "5",
	} {
		if st := one(t, sql); st.SetTo != want {
			t.Errorf("%q sets to %q, want %q", sql, st.SetTo, want)
		}
	}
}

func TestDoorPasswordInRecord(t *testing.T) {
	for _, sql := range []string{
		"ALTER ROLE x PASSWORD 's3cret'", "CREATE USER x PASSWORD $$s3cret$$", "CREATE ROLE x LOGIN PASSWORD E's3\\143ret' -- s3cret",
		"ALTER ROLE x /* */ PASSWORD U&'s3cret'", "DO $$ BEGIN EXECUTE 'alter role x password ''s3cret'''; END $$",
		"SELECT dblink_connect('password=s3cret')", "ALTER ROLE x PASSWORD 's3cret", "ALTR ROLE x PASSWORD 's3cret'",
		"CREATE SUBSCRIPTION s CONNECTION 'password=s3cret' PUBLICATION p",
		"CREATE USER MAPPING FOR x SERVER y OPTIONS (user 'u', password 's3cret')",
		"PREPARE p AS SELECT dblink('password=s3cret', 'select 1')", "ALTER ROLE x PASSWORD 'a'\n's3cret'",
	} {
		for _, st := range Analyze(sql, nil) {
			if text := Redact(&st); strings.Contains(text, "s3") {
				t.Errorf("%q is recorded as %q", sql, text)
			}
		}
	}
	st := one(t, "SELECT 'kept' FROM t")
	if Redact(&st) != "SELECT 'kept' FROM t" {
		t.Errorf("recorded as %q", Redact(&st))
	}
}

// The second statement's secret must not be recorded with the first one's text.
func TestDoorPasswordInNeighbour(t *testing.T) {
	for _, st := range Analyze("SELECT 1; ALTER ROLE x PASSWORD 's3cret'; SELECT 2", nil) {
		if strings.Contains(Redact(&st), "s3cret") {
			t.Errorf("%q", Redact(&st))
		}
	}
	if list := Analyze("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SELECT 2", nil); len(list) != 2 {
		t.Errorf("%d statements: %v", len(list), list[0].Problem)
	}
	if list := Analyze("CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; SELECT 1;); SELECT 2", nil); len(list) != 2 {
		t.Errorf("%d statements: %v", len(list), list[0].Problem)
	}
}
