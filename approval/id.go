package approval

import "crypto/rand"

// idLetters leaves out what people mix up when they read an id to each other: 0 and
// o, 1, l and i. There are 32, so that a random byte's low five bits choose one evenly.
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

// letter draws until the byte is not one of the left-over values, so that every
// letter is equally likely.
func letter() byte {
	for {
		var b [1]byte
		rand.Read(b[:]) // never fails: the runtime stops the program if there is no randomness
		if i := int(b[0] & 31); idLetters[i] != '_' {
			return idLetters[i]
		}
	}
}
