package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// google is the one issuer where anybody can have an account with any address: who
// belongs to a company is told by hd, never by the address.
const google = "https://accounts.google.com"

// maxDepth is how many objects a claim may lie in; Keycloak's lie in two.
const maxDepth = 8

// groups are those that the configured claim lists, and those of the person's domain.
func (p *Provider) groups(claims map[string]json.RawMessage) ([]string, error) {
	name := p.cfg.GroupsClaim
	if leftOut(claims, name) {
		return nil, fmt.Errorf("id token: the identity provider left claim %q out because the person is in too many groups for one token; let it send only the groups that are assigned to this application, or roles (groups_claim: roles)", name)
	}
	raw, found := follow(claims, name, maxDepth)
	if found && string(raw) == "null" {
		found = false
	}
	if !found && p.cfg.RequireGroups {
		return nil, fmt.Errorf("id token: it has no claim %q, which the gateway is configured to read groups from%s", name, instead(claims))
	}
	var list []string
	if found {
		var err error
		if list, err = p.names(name, raw); err != nil {
			return nil, err
		}
	}
	list = append(list, p.cfg.Domains[p.domain(claims)]...)
	if len(list) > maxGroups {
		return nil, fmt.Errorf("id token: claim %q lists %d groups, more than %d", name, len(list), maxGroups)
	}
	for _, g := range list {
		if err := plainName(g, maxName); err != nil {
			return nil, fmt.Errorf("id token: a group in claim %q %w", name, err)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// names reads a list of names, or one string, which is several only if the
// configuration says what parts them: "not admins" is not the group admins.
func (p *Provider) names(name string, raw json.RawMessage) (list []string, err error) {
	if json.Unmarshal(raw, &list) == nil {
		return list, nil
	}
	var one string
	if json.Unmarshal(raw, &one) != nil {
		return nil, fmt.Errorf("id token: claim %q is not a list of names", name)
	}
	sep, err := separator(p.cfg.GroupsSplit)
	if err != nil {
		return nil, err
	}
	if sep == "" {
		return []string{one}, nil
	}
	for _, part := range strings.Split(one, sep) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list, nil
}

func separator(split string) (string, error) {
	switch split {
	case "":
		return "", nil
	case "space":
		return " ", nil
	case "comma":
		return ",", nil
	}
	return "", fmt.Errorf("groups can be parted by space or comma, not by %q", split)
}

// follow finds a claim by its whole name, which may hold dots (Auth0's are URLs), else
// by its way through objects (Keycloak's realm_access.roles), whose own names may hold
// dots too. The longer name wins, so that nothing within can pose as it.
func follow(claims map[string]json.RawMessage, name string, depth int) (json.RawMessage, bool) {
	if raw, ok := claims[name]; ok {
		return raw, true
	}
	if depth == 0 {
		return nil, false
	}
	for i := len(name) - 2; i > 0; i-- {
		if name[i] != '.' {
			continue
		}
		raw, ok := claims[name[:i]]
		if !ok {
			continue
		}
		var inner map[string]json.RawMessage
		if json.Unmarshal(raw, &inner) != nil {
			return nil, false
		}
		return follow(inner, name[i+1:], depth-1)
	}
	return nil, false
}

// leftOut says that Entra sent a pointer in place of the groups: above 200 of them it
// names the claim in _claim_names, or sets hasgroups. Whoever takes that for "no
// groups" lets people past every rule that restricts one.
func leftOut(claims map[string]json.RawMessage, name string) bool {
	if _, there := claims[name]; there {
		return false
	}
	var elsewhere map[string]json.RawMessage
	if json.Unmarshal(claims["_claim_names"], &elsewhere) == nil {
		if _, ok := elsewhere[name]; ok {
			return true
		}
	}
	has := strings.Trim(string(claims["hasgroups"]), `"`)
	return name == "groups" && has == "true"
}

// instead names claims that may be the one that was renamed, for whoever mends the
// configuration. Values are nobody's business.
func instead(claims map[string]json.RawMessage) string {
	var near []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		low := strings.ToLower(name)
		if plainName(name, 64) == nil && (strings.Contains(low, "group") || strings.Contains(low, "role") || low == "realm_access" || low == "resource_access") {
			near = append(near, name)
		}
	}
	if len(near) == 0 {
		return ""
	}
	return fmt.Sprintf("; it has %s", strings.Join(near[:min(len(near), 5)], ", "))
}

// domain is what the person's provider says they belong to: Google's hd, elsewhere
// the domain of an address that it has verified. Empty if it says nothing.
func (p *Provider) domain(claims map[string]json.RawMessage) string {
	if hd := stringClaim(claims["hd"]); hd != "" || p.cfg.Issuer == google {
		return strings.ToLower(hd)
	}
	if strings.Trim(string(claims["email_verified"]), `"`) != "true" {
		return ""
	}
	_, domain, ok := strings.Cut(email(claims), "@")
	if !ok || strings.Contains(domain, "@") {
		return ""
	}
	return strings.ToLower(domain)
}

// CheckDomains refuses a mapping that could never match, or that matches those whose
// provider says nothing.
func CheckDomains(domains map[string][]string) error {
	for _, d := range slices.Sorted(maps.Keys(domains)) {
		switch {
		case d == "" || d != strings.ToLower(d) || strings.ContainsAny(d, "@ /*"):
			return fmt.Errorf("%q is not a domain in lower case, such as example.com", d)
		case len(domains[d]) == 0:
			return fmt.Errorf("the domain %s gives no groups", d)
		case slices.Contains(domains[d], ""):
			return errors.New("a group has no name")
		}
	}
	return nil
}
