package demo

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
)

//go:embed login.html
var loginHTML string

// loginPages shows the users as buttons, for a login in the browser (/login?id=…)
// and for a device without one (/device?user_code=…).
type loginPages struct {
	store *idpStore
	page  *template.Template
}

func newLoginPages(store *idpStore) (*loginPages, error) {
	page, err := template.New("login").Parse(loginHTML)
	if err != nil {
		return nil, err
	}
	return &loginPages{store: store, page: page}, nil
}

type loginView struct {
	Users    []User
	Action   string // where the buttons post to; empty when there is nothing to choose
	AskCode  bool
	UserCode string
	Message  string
}

func (p *loginPages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// No form-action here: browsers apply it to the redirect that ends a login,
	// which goes to a port nobody can know in advance.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Cache-Control", "no-store")
	id, userCode := r.URL.Query().Get("id"), r.URL.Query().Get("user_code")
	device := r.URL.Path == "/device"
	switch {
	case r.Method == http.MethodGet && device && userCode == "":
		p.show(w, http.StatusOK, loginView{AskCode: true})
	case r.Method == http.MethodGet:
		p.show(w, http.StatusOK, loginView{Users: p.store.everyone(), Action: r.URL.RequestURI(), UserCode: userCode})
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "only GET and POST", http.StatusMethodNotAllowed)
	case device:
		if err := p.store.finishDevice(userCode, r.PostFormValue("user")); err != nil {
			p.show(w, http.StatusBadRequest, loginView{Message: "That code is not known here, or has expired."})
			return
		}
		p.show(w, http.StatusOK, loginView{Message: "You are signed in. You can close this page and go back to your terminal."})
	default:
		if err := p.store.finishLogin(id, r.PostFormValue("user")); err != nil {
			p.show(w, http.StatusBadRequest, loginView{Message: "This login is over, or was never started here. Run the login again."})
			return
		}
		http.Redirect(w, r, "/authorize/callback?id="+url.QueryEscape(id), http.StatusSeeOther)
	}
}

func (p *loginPages) show(w http.ResponseWriter, status int, view loginView) {
	var buf bytes.Buffer
	if err := p.page.Execute(&buf, view); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(buf.Bytes())
}
