package gateway_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
)

// A statement with more parameters than one message can bind is parsed as it is
// directly, and costs nobody the session.
func TestMoreParametersThanCanBeBound(t *testing.T) {
	th := start(t, "dev", shop, nil)
	for name, dsn := range map[string]string{"direct": th.direct, "through": th.as(person("ada"))} {
		conn := connect(t, dsn)
		var sql strings.Builder
		sql.WriteString("select id from cities where id in ($1")
		for i := 2; i <= 65536; i++ {
			sql.WriteString(", $" + strconv.Itoa(i))
		}
		sql.WriteString(")")
		st, err := conn.Prepare(context.Background(), "wide", sql.String())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if len(st.ParamOIDs) != 65536 {
			t.Errorf("%s: %d parameters", name, len(st.ParamOIDs))
		}
		if n := 0; conn.QueryRow(context.Background(), "select 1").Scan(&n) != nil || n != 1 {
			t.Errorf("%s: the session did not live on", name)
		}
	}
}
