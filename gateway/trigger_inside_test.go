package gateway

import "testing"

// A run is read, by people who list what broke, while it begins, goes on or ends. The race
// detector sees to the rest.
func TestRunOfAHookIsReadWhileItChanges(t *testing.T) {
	const text = "title: t\npurpose: p\nconnection: orders\nsteps: [{name: one, sql: select 1}]\n"
	k := &hookRun{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 500 {
			k.mu.Lock()
			if k.kept.Text = ""; i%2 == 0 {
				k.kept.File, k.kept.Text, k.kept.Values = "t.yaml", text, map[string]*string{}
			}
			k.mu.Unlock()
		}
	}()
	for range 500 {
		if bound, err := k.bound(); err == nil && bound.Book.Connection != "orders" {
			t.Errorf("it is read as %+v", bound.Book)
		}
	}
	<-done
	k.kept.Text = text
	if _, err := k.bound(); err != nil {
		t.Error(err)
	}
}
