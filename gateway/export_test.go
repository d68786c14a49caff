package gateway

// MemoryUsed is what all sessions have of the budget now.
func (g *Gateway) MemoryUsed() int64 { return g.memory.Used() }
