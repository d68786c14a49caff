package gateway_test

import (
	"testing"

	"github.com/sluicehq/sluice/gateway"
)

func TestStatsCountWhatHappened(t *testing.T) {
	th := start(t, "prod", shop, nil)
	conn := connect(t, th.as(person("ada")))
	for _, sql := range []string{"select email from people where id < 6", "drop table people", "select nothing", "select 1"} {
		_, _ = run(conn, sql) // two of them fail
	}
	done := background(conn, "alter table cities add column x int")
	ask := th.held(t, 1)[0]
	if s := th.Stats(); s.Waiting != 1 {
		t.Errorf("%d wait", s.Waiting)
	}
	if _, err := th.Answer(approver, ask.ID, th.yes(ask.ID)); err != nil {
		t.Fatal(err)
	}
	if err := await(t, done); err != nil {
		t.Fatal(err)
	}
	var s gateway.Stats
	eventually(t, "all is counted", func() bool { s = th.Stats(); return s.Connections[0].Rows >= 6 && s.Waiting == 0 })
	c := s.Connections[0]
	if c.Name != "orders" || c.Sessions != 1 || c.Opened != 1 || c.Allowed != 3 || c.Denied != 1 || c.Held != 1 || c.Failed != 1 || c.Masked != 5 {
		t.Errorf("%+v", c)
	}
	if s.Record.Entries < 10 || s.Record.Syncs == 0 || s.Record.SyncTime == 0 || s.Record.SyncTimes[len(s.Record.SyncTimes)-1] == 0 || s.Record.Failed || !s.Indexed {
		t.Errorf("%+v", s.Record)
	}
	eventually(t, "the index and the checkpoints catch up", func() bool {
		s := th.Stats()
		return s.IndexBehind == 0 && s.Record.Sealed == s.Record.Entries && s.Record.Synced == s.Record.Entries
	})
}
