package api

import (
	"errors"
	"net/http"
)

// Error is a failure that a person reads: what happened, and what to do next. It
// is also the body of every HTTP answer that is not 2xx.
type Error struct {
	Sentence string `json:"error"`          // one lower-case sentence
	Hint     string `json:"hint,omitempty"` // what to do next
	Code     int    `json:"code"`           // what the command exits with: one of the codes below
}

// The codes of an Error are the exit codes of the command line.
const (
	CodeError       = 1
	CodeUsage       = 2
	CodeRefused     = 3 // by policy, or the caller lacks the right
	CodeNotApproved = 4 // held, and nobody granted it in time
	CodeNotLoggedIn = 5
)

// Error gives the sentence alone: the hint is printed on a line of its own.
func (e *Error) Error() string { return e.Sentence }

// Status is the HTTP status that carries e.
func (e *Error) Status() int {
	switch e.Code {
	case CodeUsage:
		return http.StatusBadRequest
	case CodeRefused:
		return http.StatusForbidden
	case CodeNotApproved:
		return http.StatusConflict
	case CodeNotLoggedIn:
		return http.StatusUnauthorized
	default:
		return http.StatusInternalServerError
	}
}

// AsError finds the Error in err's chain.
func AsError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
