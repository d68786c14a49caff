package report

// framework is a set of rules that auditors check by, and which part of the page is
// evidence for which of them. The page says what happened; whether that is enough is for
// the auditor.
type framework struct {
	Name     string // as it is called
	Edition  string
	Subject  string // what it calls the data
	Controls []control
}

// control is one requirement.
type control struct {
	ID      string
	Asks    string // what it asks, in our words
	Shows   string // what of it this page shows
	Section string // anchor of the section
}

// Names are what a report can be made for.
func Names() []string { return []string{"soc2", "gdpr", "hipaa", "pci"} }

// The anchors of the sections.
const (
	secAccess   = "access"
	secUse      = "use"
	secChanges  = "changes"
	secPersonal = "personal"
	secRefused  = "refused"
	secRecord   = "record"
)

func frameworkOf(name string) framework {
	switch name {
	case "gdpr":
		return framework{Name: "GDPR", Edition: "Regulation (EU) 2016/679", Subject: "personal data", Controls: []control{
			{"Art. 5(1)(c)", "Data is limited to what is necessary", "values that were masked before they left the database's gateway, by person and column", secPersonal},
			{"Art. 5(1)(f)", "Data is protected against unauthorised processing", "who was let in, what was refused, and by which rule", secRefused},
			{"Art. 5(2)", "Compliance can be demonstrated", "a signed record of each statement, which this page is made of and which can be verified", secRecord},
			{"Art. 25", "Data protection by design and by default", "masking applies unless a rule takes it away: masked values stand beside rows read", secPersonal},
			{"Art. 29", "People act on instructions only", "the purpose that people gave, and who approved what waited", secPersonal},
			{"Art. 32(1)(b)", "Confidentiality and integrity are ensured", "who had access and who used it; privileged changes with their approvals", secAccess},
			{"Art. 32(1)(d)", "Measures are tested and evaluated regularly", "who read this record, and the result of its verification", secRecord},
			{"Art. 33(5)", "Breaches are documented", "for a given column or person, which statements read what, and when", secPersonal},
		}}
	case "hipaa":
		return framework{Name: "HIPAA Security Rule", Edition: "45 CFR Part 164, Subpart C", Subject: "protected health information", Controls: []control{
			{"§164.308(a)(1)(ii)(D)", "Records of activity are reviewed", "statements by day and by person, and who read this record", secUse},
			{"§164.308(a)(4)(ii)(C)", "Access is established and modified by policy", "which groups each connection admits, and since when", secAccess},
			{"§164.308(a)(5)(ii)(C)", "Log-in attempts are monitored", "logins and sessions that were refused", secRefused},
			{"§164.312(a)(1)", "Only those who were granted access have it", "who had access, who used it, and what was refused", secAccess},
			{"§164.312(a)(2)(i)", "Each user has a unique identity", "people, jobs and agents by the name that the identity provider vouches for", secUse},
			{"§164.312(a)(2)(ii)", "There is a procedure for emergencies", "statements released by break-glass stand among those that waited", secChanges},
			{"§164.312(b)", "Activity is recorded and examined", "each statement with its decision and its outcome, from which this page is made", secPersonal},
			{"§164.312(c)(1)", "Data is protected from improper change", "changes of schema and privileges with who approved them", secChanges},
			{"§164.312(d)", "Whoever asks is who they claim to be", "logins by identity provider; shared database accounts stay in the gateway", secUse},
		}}
	case "pci":
		return framework{Name: "PCI DSS", Edition: "v4.0.1", Subject: "account data", Controls: []control{
			{"7.2.1", "Access follows a model of need and role", "which groups each connection admits, and since when", secAccess},
			{"7.2.6", "Queries of repositories of cardholder data are restricted", "who read columns of personal data, with rows read and values masked", secPersonal},
			{"8.2.1", "Every user has a unique ID", "people, jobs and agents by name", secUse},
			{"10.2.1.1", "Each user's access to cardholder data is logged", "by person and column", secPersonal},
			{"10.2.1.2", "Actions with administrative access are logged", "administrative acts, and privileged statements", secChanges},
			{"10.2.1.3", "Access to audit logs is logged", "who read this record", secRecord},
			{"10.2.1.4", "Invalid access attempts are logged", "refused statements, logins and sessions", secRefused},
			{"10.2.1.5", "Changes to credentials and privileges are logged", "locks, tokens, grants and revocations", secChanges},
			{"10.2.1.6", "Starts and stops of logs are logged", "gateway starts and ends are entries of the record, in unbroken numbers", secRecord},
			{"10.2.1.7", "Making and removing of objects is logged", "CREATE, ALTER, DROP and TRUNCATE with who approved them", secChanges},
			{"10.3.2, 10.3.4", "Logs cannot be changed unseen", "the signed checkpoint, and the result of verification", secRecord},
			{"10.4.1", "Logs are reviewed", "who read this record", secRecord},
		}}
	}
	return framework{Name: "SOC 2", Edition: "Trust Services Criteria 2017, revised points of focus 2022", Subject: "confidential and personal information", Controls: []control{
		{"CC6.1", "Logical access is restricted", "which groups each connection admits, and what was refused", secAccess},
		{"CC6.2", "Users are registered and authorised before they get credentials", "logins, with groups as the identity provider gave them", secUse},
		{"CC6.3", "Access follows roles, least privilege and segregation of duties", "who had access and did not use it; that nobody approves what they asked for", secAccess},
		{"CC6.7", "Movement of information is restricted", "rows read and values masked, by person and column", secPersonal},
		{"CC7.2", "Anomalies are monitored", "statements by day, and refused attempts by rule and person", secRefused},
		{"CC7.3", "Security events are evaluated", "who read this record, and when", secRecord},
		{"CC8.1", "Changes are authorised and approved", "changes of schema, privileges, policy and labels, with who approved them", secChanges},
		{"C1.1", "Confidential information is identified and protected", "columns that are known to hold personal data, with their kinds", secPersonal},
		{"CC4.1", "Whether controls work is evaluated", "the signed checkpoint, and the result of verification", secRecord},
	}}
}
