package approval

import "crypto/rand"

// idLetters leaves out what people mix up when they read an id to each other: 0 and
// o, 1, l and i. The last place only fills up to 32, so that five random bits are an
// index; it is never given out.
const idLetters = "23456789abcdefghjkmnpqrstuvwxyz_"

// idLength gives 28 million ids: hard to hit by a slip of the finger among at most
// MaxOpen. An id is a name, not a secret.
const idLength = 5

// NewID returns a short random id that is easy to type.
func NewID() string {
	var id [idLength]byte
	for i := range id {
		id[i] = letter()
	}
	return string(id[:])
}

// letter draws until it hits a real letter, so that each is equally likely.
func letter() byte {
	for {
		var b [1]byte
		rand.Read(b[:]) // never fails: the runtime stops the program if there is no randomness
		if i := int(b[0] & 31); idLetters[i] != '_' {
			return idLetters[i]
		}
	}
}
