package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Messages are signed as the Standard Webhooks specification has it (version 1.0.0, its
// symmetric scheme): webhook-signature holds "v1," and the base64 of HMAC-SHA-256 over
// "webhook-id.webhook-timestamp.body", several with spaces between them while a sender
// changes secrets.
const (
	headerHookID        = "webhook-id"
	headerHookTime      = "webhook-timestamp"
	headerHookSignature = "webhook-signature"

	// hookTolerance is how far a message's time may be from ours: what the specification's
	// own libraries allow for clocks and for delivery.
	hookTolerance = 5 * time.Minute

	// maxSignatures bounds the comparisons of one message. A sender has two secrets at most.
	maxSignatures = 8
)

var (
	hookIDForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`) // no dot, which divides what is signed
	hookTimeForm = regexp.MustCompile(`^[0-9]{1,12}$`)          // seconds
)

// signed is the id and time of a message that the holder of key signed as it is. ok is
// false for anything less, without a reason: whoever cannot sign learns nothing. How long
// that takes does not depend on how much of a signature is right.
func signed(key []byte, h http.Header, body []byte) (id string, at time.Time, ok bool) {
	id, idOK := onlyHeader(h, headerHookID)
	stamp, stampOK := onlyHeader(h, headerHookTime)
	signatures, sigOK := onlyHeader(h, headerHookSignature)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	list := strings.Split(signatures, " ")
	for _, s := range list[:min(len(list), maxSignatures)] {
		have, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "v1,"))
		if err == nil && strings.HasPrefix(s, "v1,") && hmac.Equal(have, want) {
			ok = true
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	ok = ok && idOK && stampOK && sigOK && err == nil && hookIDForm.MatchString(id) && hookTimeForm.MatchString(stamp)
	if !ok {
		return "", time.Time{}, false
	}
	return id, time.Unix(seconds, 0), true
}

// onlyHeader is a header that is there once: of two, a proxy may have read the other.
func onlyHeader(h http.Header, name string) (string, bool) {
	list := h.Values(name)
	if len(list) != 1 {
		return "", false
	}
	return list[0], true
}

// SignHook is the signature of a message, for tests and for those who write a sender.
func SignHook(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// HookKey is the key of a secret in the form of Standard Webhooks: "whsec_" and base64.
func HookKey(secret string) (key []byte, ok bool) {
	text, prefixed := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	return key, prefixed && err == nil && len(key) >= MinTriggerKey && len(key) <= MaxTriggerKey
}
