package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/sluicehq/sluice/api"
	"golang.org/x/oauth2"
)

// deviceTimeout bounds a login by device code, whatever the provider allows: somebody
// looks for a telephone first.
const deviceTimeout = 15 * time.Minute

// DeviceCode is what a person needs to log in elsewhere.
type DeviceCode struct {
	URL      string    // where to type Code
	Code     string    //
	Complete string    // the address with the code in it; "" if the provider has none
	Expires  time.Time // zero if the provider does not say
}

// byDevice has the person log in on another machine, or a telephone. How often the
// provider is asked meanwhile is for it to say (RFC 8628 sections 3.2 and 3.5).
func (l *login) byDevice(ctx context.Context) (tokens, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, l.http), deviceTimeout)
	defer cancel()
	da, err := l.conf.DeviceAuth(ctx, oidc.Nonce(l.nonce)) // many providers drop the nonce
	if err != nil {
		return tokens{}, deviceError(l.provider.Issuer, err)
	}
	code := DeviceCode{URL: da.VerificationURI, Code: da.UserCode, Complete: da.VerificationURIComplete, Expires: da.Expiry}
	if !webAddress(code.URL) || code.Complete != "" && !webAddress(code.Complete) || code.Code == "" {
		return tokens{}, &api.Error{Sentence: fmt.Sprintf("the identity provider %s names no address to log in at", l.provider.Issuer), Hint: "log in on a machine with a browser", Code: api.CodeError}
	}
	if l.opt.ShowDevice != nil {
		l.opt.ShowDevice(code)
	} else {
		fmt.Fprintf(l.opt.Out, "open %s and enter the code %s\n", code.URL, code.Code)
	}
	tok, err := l.conf.DeviceAccessToken(ctx, da)
	if err != nil {
		return tokens{}, deviceError(l.provider.Issuer, err)
	}
	return l.tokens(tok)
}

// webAddress says that a person, and a QR code, may be sent to text.
func webAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

func deviceError(issuer string, err error) error {
	var no *oauth2.RetrieveError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &no) && no.ErrorCode == "expired_token":
		return &api.Error{Sentence: "nobody entered the code in time", Hint: "run sluice login again", Code: api.CodeNotLoggedIn}
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &no) && no.ErrorCode == "access_denied":
		return &api.Error{Sentence: "the login was refused at the identity provider", Hint: "run sluice login again, and agree there", Code: api.CodeNotLoggedIn}
	case errors.As(err, &no) && no.ErrorCode == "unauthorized_client":
		return &api.Error{Sentence: fmt.Sprintf("the identity provider %s does not let sluice log in by device code", issuer), Hint: "allow its client the device code grant there, or log in on a machine with a browser", Code: api.CodeError}
	case no != nil:
		text := fmt.Sprintf("%.200q", no.ErrorCode)
		if no.ErrorDescription != "" {
			text += fmt.Sprintf(": %.200q", no.ErrorDescription)
		}
		return &api.Error{Sentence: "the identity provider refused: " + text, Hint: "run sluice login again", Code: api.CodeNotLoggedIn}
	}
	return &api.Error{Sentence: fmt.Sprintf("the identity provider %s does not answer as it should: %v", issuer, err), Hint: "check that this machine can reach it", Code: api.CodeError}
}
