package gateway

import "sync"

// jobRuns are those that are under way, as far as this process has heard of them, and those
// that it ended: the record knows all, and the graph a moment later. The zero value is
// ready.
type jobRuns struct {
	mu     sync.Mutex
	owners map[string]string // by ID
	ended  map[string]bool   // so that none ends twice before the graph knows
}

// maxJobRuns bounds what is remembered, in each of the two: beyond it the graph is asked.
const maxJobRuns = 10_000

// note remembers who began a run, unless it has ended.
func (r *jobRuns) note(id, owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended[id] {
		return
	}
	if r.owners == nil || len(r.owners) >= maxJobRuns {
		r.owners = map[string]string{}
	}
	r.owners[id] = owner
}

func (r *jobRuns) owner(id string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	owner, ok := r.owners[id]
	return owner, ok
}

// end ends a run; false if it was ended already.
func (r *jobRuns) end(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended[id] {
		return false
	}
	delete(r.owners, id)
	if r.ended == nil || len(r.ended) >= maxJobRuns {
		r.ended = map[string]bool{}
	}
	r.ended[id] = true
	return true
}
