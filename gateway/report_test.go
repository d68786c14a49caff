package gateway_test

import (
	"testing"
	"time"

	"github.com/sluicehq/sluice/api"
)

// A report is for auditors, covers what was done a moment ago, and says who asked for it.
func TestReportsAreForAuditors(t *testing.T) {
	th := start(t, "dev", shop, nil)
	conn := connect(t, th.as(person("ada")))
	for _, sql := range []string{"set sluice.reason = 'ticket 7'", "select email from people where id < 4"} {
		if _, err := run(conn, sql); err != nil {
			t.Fatal(err)
		}
	}
	in := api.AuditReport{For: "gdpr", Since: time.Now().Add(-time.Hour)}
	if _, err := th.AuditReport(t.Context(), person("ada"), in); err == nil {
		t.Error("somebody who is no auditor has a report")
	}
	aud := person("aud", "audit")
	if _, err := th.AuditReport(t.Context(), aud, api.AuditReport{For: "iso", Since: in.Since}); err == nil {
		t.Error("a report for something unknown is made")
	}
	r, err := th.AuditReport(t.Context(), aud, in)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Verified.OK() || r.Verified.SelfSigned || r.By != aud.Name() {
		t.Errorf("%+v", r.Verified)
	}
	if len(r.Purposes) != 1 || r.Purposes[0].Purpose != "ticket 7" || len(r.Personal) != 1 || r.Personal[0].Column != "public.people.email" || r.Personal[0].Holds != "email" || r.Personal[0].Masked != 3 {
		t.Errorf("personal data: %+v, %+v", r.Purposes, r.Personal)
	}
	if len(r.Rights) != 3 || r.Rights[0].Connection != "orders" || r.Rights[0].Used != 1 {
		t.Errorf("rights: %+v", r.Rights)
	}
	if len(r.Asked) != 1 || r.Asked[0].Who != aud.Name() || r.Asked[0].Count != 2 {
		t.Errorf("the questions are not in it: %+v", r.Asked)
	}
}
