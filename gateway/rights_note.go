package gateway

import "github.com/sluicehq/sluice/audit"

// noteRights records who may do what from now on: which groups each connection admits,
// who may read the whole record, and who may see and end everybody's sessions. So the
// record itself says who had access, and since when.
func (g *Gateway) noteRights() error {
	now := g.cfg.Now()
	var err error
	note := func(ev audit.Event) {
		if err == nil {
			ev.Kind, ev.Time = audit.Rights, now
			_, err = g.cfg.Record.Append(ev)
		}
	}
	for _, c := range g.cfg.Connections {
		ev := audit.Event{Connection: c.Name, Groups: c.Groups, Role: c.Database.User, Detail: "may open the connection"}
		if c.Env != "" {
			ev.Detail = "env " + c.Env + "; " + ev.Detail
		}
		note(ev)
	}
	note(audit.Event{Groups: g.cfg.Auditors, Detail: "may read the whole record"})
	note(audit.Event{Groups: g.cfg.Admins, Detail: "may see and end everyone's sessions, and lock people out"})
	return err
}
