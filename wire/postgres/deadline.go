package postgres

import (
	"net"
	"time"
)

// interrupt makes a Read under way return with a timeout; resume undoes it.
func interrupt(conn net.Conn) {
	// An error here means that the connection is closed, and then Read returns anyway.
	_ = conn.SetReadDeadline(time.Unix(1, 0))
}

func resume(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Time{})
}
