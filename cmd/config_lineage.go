package cmd

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/sluicehq/sluice/lineage"
	"github.com/sluicehq/sluice/lineage/store"
)

// lineageConfig says where OpenLineage events go.
type lineageConfig struct {
	OpenLineage openLineageConfig `yaml:"openlineage"`
}

type openLineageConfig struct {
	URL       string `yaml:"url"`       // where events are posted: https://marquez.example.com/api/v1/lineage
	Token     secret `yaml:"token"`     // sent as a bearer token
	File      string `yaml:"file"`      // events are appended there, a line each
	Namespace string `yaml:"namespace"` // of jobs; default the gateway's own name
}

func (o openLineageConfig) check(s *sheet) {
	if o.URL == "" {
		return
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !local(u.Hostname())) {
		s.sayAt("lineage.openlineage.url", "url is %q, must be an https address without a password in it, such as https://marquez.example.com/api/v1/lineage", short(o.URL, 60))
	}
}

// delivery is what the file says of deliveries.
func (o openLineageConfig) delivery(ctx context.Context, env func(string) string) (*store.DeliveryConfig, error) {
	if o.URL == "" && o.File == "" {
		return nil, nil
	}
	d := &store.DeliveryConfig{URL: o.URL, File: o.File, Make: &lineage.OpenLineage{Namespace: o.Namespace, Producer: producer()}}
	if o.Token.Env != "" || o.Token.File != "" || len(o.Token.Exec) > 0 {
		token, err := o.Token.read(ctx, "lineage.openlineage", "token", env)
		if err != nil {
			return nil, err
		}
		d.Token = strings.TrimSpace(token)
	}
	return d, nil
}

// producer names this program in events, as the specification asks.
func producer() string {
	return "https://github.com/sluicehq/sluice/tree/" + url.PathEscape(buildVersion())
}

// deliver makes the delivery of a house, nil if there is none to make.
func (h *house) deliver(cfg *store.DeliveryConfig) (err error) {
	if cfg == nil {
		return nil
	}
	c := *cfg
	c.Dir, c.From, c.Log = filepath.Join(h.dir, "openlineage"), h.record.Size(), h.log
	made := *c.Make
	if made.Namespace == "" {
		made.Namespace = h.id
	}
	made.Fields = func(connection, relation string) []lineage.Field { return h.gateway.Fields(connection, relation) }
	c.Make = &made
	h.delivery, err = store.NewDelivery(c)
	return err
}
