// Package api holds the messages between the gateway and its clients: plain
// structs, sent as JSON over HTTP/1.1 inside a tunnel stream of kind "api". It
// guarantees only their shape. Fields are added, never renamed or reused, so
// that a client and a gateway one version apart understand each other; unknown
// fields are ignored by both.
package api

import "time"

// The paths the gateway serves. InfoPath, CertificatePath and TokenPath are open to a
// caller without a certificate, because that is how one is obtained; every other
// path needs one.
const (
	InfoPath        = "/v1/info"               // GET: Info
	CertificatePath = "/v1/certificate"        // POST CertificateRequest: CertificateResponse
	RenewPath       = "/v1/certificate/renew"  // POST RenewRequest: CertificateResponse
	WhoAmIPath      = "/v1/whoami"             // GET: WhoAmI
	ConnectionsPath = "/v1/connections"        // GET: []Connection
	AsksPath        = "/v1/asks"               // GET: []Ask
	AsksWatchPath   = "/v1/asks/watch"         // GET: one []Ask a line, each time something changes
	AskPath         = "/v1/asks/{id}"          // GET: Ask, with what is known of it; POST AskDecision: Ask
	PreviewPath     = "/v1/asks/{id}/preview"  // POST, no body: Preview
	RequestsPath    = "/v1/requests"           // GET: []Request; POST NewRequest: Request
	RequestEndPath  = "/v1/requests/{id}/end"  // POST, no body: Request
	SessionsPath    = "/v1/sessions"           // GET: []Session
	KillPath        = "/v1/sessions/{id}/kill" // POST, no body: Session
	LivePath        = "/v1/live"               // GET: one Live a line, at once when something changes and every second
	StreamPath      = "/v1/sessions/{id}/live" // GET: one SessionEvent a line, as things happen in that session
	AuditQueryPath  = "/v1/audit/query"        // POST AuditQuery: AuditResult
	AuditSQLPath    = "/v1/audit/sql"          // POST AuditSQL: AuditRows
	AuditProvePath  = "/v1/audit/prove"        // POST AuditProve: audit.Proof
	AuditVerifyPath = "/v1/audit/verify"       // POST, no body: VerifyResult
	AuditReportPath = "/v1/audit/report"       // POST AuditReport: report.Report
	AuditExportPath = "/v1/audit/export"       // POST export.Request: lines, entries as they stand and marks (export.Mark)
	AuditRotatePath = "/v1/audit/rotate-key"   // POST, no body: KeyReplaced
	ExplainPath     = "/v1/explain"            // POST ExplainRequest: ExplainResult
	ScanPath        = "/v1/scan"               // POST ScanRequest: object of columns
	LabelPath       = "/v1/label"              // POST LabelRequest: the column as ScanPath shows it
	PolicyPath      = "/v1/policy"             // GET: Policy
	ReplayPath      = "/v1/policy/replay"      // POST ReplayRequest: ReplayResult
	TokenPath       = "/v1/token"              // POST TokenExchange: TokenExchanged; open, as the first two
	TokensPath      = "/v1/tokens"             // GET: []Token; POST TokenRequest: TokenMade
	TokenRevokePath = "/v1/tokens/{id}/revoke" // POST Reason: Revoked
	UsersPath       = "/v1/users"              // GET: []User
	UserLockPath    = "/v1/users/lock"         // POST UserLock: Revoked
	UserUnlockPath  = "/v1/users/unlock"       // POST UserLock: User
	RunbookPath     = "/v1/runbook"            // POST NewRun: Run
	PeerPath        = "/v1/peer"               // between gateways that share labels, who know each other by a key
	RunbookEndPath  = "/v1/runbook/{id}/end"   // POST RunEnd: Run
	HookRunsPath    = "/v1/hookruns"           // GET: []HookRun, those that broke and may be gone on with
	HookRunPath     = "/v1/hookruns/{id}"      // GET: HookRun, of who went on with it; POST HookResume: HookRun
)

// The paths of lineage and of runs.
const (
	LineagePath       = "/v1/lineage"        // POST lineage.Question: lineage.Answer
	LineageProvePath  = "/v1/lineage/prove"  // POST LineageProve: lineage.Proof
	LineageImportPath = "/v1/lineage/import" // POST LineageImport: LineageImported
	RunsPath          = "/v1/runs"           // POST JobRunStart: JobRunStarted
	RunEndPath        = "/v1/runs/{id}/end"  // POST JobRunEnd: JobRunStarted
	RunBeatPath       = "/v1/runs/{id}/beat" // POST, no body: JobRunStarted
)

// Limits of the messages, for both sides.
const (
	MaxRequest = 9 << 20  // a statement to explain is at most 8 MiB; the rest is room for its JSON form
	MaxReply   = 64 << 20 // the largest answer is a page of the record

	MaxOpenRequest = 64 << 10 // from a caller who is not known yet: a token and a key
)

// Info is what a gateway tells anyone: enough to log in.
type Info struct {
	Version   string   `json:"version"`          // of the gateway
	GatewayID string   `json:"gateway_id"`       // stable name of this gateway
	Issuer    string   `json:"issuer"`           // OIDC issuer people log in with
	ClientID  string   `json:"client_id"`        // OIDC client of the command line
	Scopes    []string `json:"scopes,omitempty"` // to ask for; "openid email profile groups offline_access", as far as the provider knows them, if empty
	Note      string   `json:"note,omitempty"`   // a sentence for whoever logs in

	Audiences    []string  `json:"audiences,omitempty"`     // what tokens of jobs must be made for
	ClientSecret string    `json:"client_secret,omitempty"` // for providers that give programs on laptops one, which keeps nothing secret
	Prompt       string    `json:"prompt,omitempty"`        // to send with a login in a browser
	Device       bool      `json:"device,omitempty"`        // people may log in by device code
	Now          time.Time `json:"now,omitzero"`            // the gateway's clock
}

// CertificateRequest trades a verified login for a client certificate. Only the
// public half of the key travels.
type CertificateRequest struct {
	IDToken      string `json:"id_token"`
	Nonce        string `json:"nonce"`            // the one in the token; identity.NonceFor binds it to the key
	PublicKeyPEM string `json:"public_key"`       // SubjectPublicKeyInfo
	Device       bool   `json:"device,omitempty"` // by device code: the token may lack the nonce
}

// RenewRequest trades the ID token that a refresh token gave for another certificate
// of the key that the caller's certificate is for, which must not have expired.
type RenewRequest struct {
	IDToken string `json:"id_token"`
}

// CertificateResponse is the certificate and what it says.
type CertificateResponse struct {
	CertPEM  string    `json:"certificate"`
	Expires  time.Time `json:"expires"`
	Identity WhoAmI    `json:"identity"`
}

// WhoAmI is the caller as the gateway sees it.
type WhoAmI struct {
	Subject string    `json:"subject"`
	Email   string    `json:"email,omitempty"`
	Groups  []string  `json:"groups,omitempty"`
	Kind    string    `json:"kind"`
	Owner   string    `json:"owner,omitempty"`
	Method  string    `json:"method,omitempty"`
	Issuer  string    `json:"issuer,omitempty"`
	Expires time.Time `json:"expires"`

	Name       string            `json:"name,omitempty"`       // what people call them
	OwnerName  string            `json:"owner_name,omitempty"` // and whom they act for
	Credential string            `json:"credential,omitempty"` // serial number of their certificate
	Claims     map[string]string `json:"claims,omitempty"`     // of a job
	Writes     bool              `json:"writes,omitempty"`     // of an agent: its owner lets it change data
}

// Connection is a database the caller may open.
type Connection struct {
	Name     string   `json:"name"`
	Env      string   `json:"env,omitempty"`
	Kind     string   `json:"kind"`            // "postgres"
	Database string   `json:"database"`        // its name on the server
	Rules    []string `json:"rules,omitempty"` // what applies to the caller there, one sentence each
}

// Policy is the policy in force, as text and where it came from.
type Policy struct {
	Source string `json:"source"` // file name, or "built-in"
	Hash   string `json:"hash"`   // SHA-256 of Text, hex
	Text   string `json:"text"`   // YAML

	Since   time.Time      `json:"since,omitzero"`    // when it came into force
	Rules   int            `json:"rules,omitempty"`   // the built-in ones among them
	Refused *PolicyRefused `json:"refused,omitempty"` // a newer file that was not taken
}

// PolicyRefused is a policy file that the gateway found and did not take.
type PolicyRefused struct {
	At      time.Time `json:"at"`
	Hash    string    `json:"hash,omitempty"` // SHA-256 of its text, hex; "" if it could not be read
	Problem string    `json:"problem"`        // all that is wrong with it, a line each
}
