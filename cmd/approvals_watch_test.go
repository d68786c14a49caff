package cmd

import (
	"testing"

	"github.com/sluicehq/sluice/api"
)

func TestWatchTellsChangesOnly(t *testing.T) {
	a, b := api.Ask{ID: "a"}, api.Ask{ID: "b"}
	more := a
	more.Votes = []api.Vote{{Who: "bo", Grant: true}}
	for _, tt := range []struct {
		before, now []api.Ask
		want        string
	}{
		{nil, []api.Ask{a, b}, "waiting a waiting b "}, {[]api.Ask{a, b}, []api.Ask{a, b}, ""}, {[]api.Ask{a, b}, []api.Ask{more}, "waiting a ended b "}, {[]api.Ask{a}, nil, "ended a "},
	} {
		got := ""
		for _, w := range changesOf(tt.before, tt.now) {
			got += w.Event + " " + w.ID + " "
		}
		if got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
