package mask

import "bytes"

// scanSecrets looks at every word for what issuers put in front of their keys, for
// hashes of passwords, signed tokens and key files. A secret is hidden to the end
// of its word.
func scanSecrets(dst []Span, b []byte) []Span {
	if i := bytes.Index(b, []byte("-----BEGIN ")); i >= 0 && bytes.Contains(b[i:], []byte("PRIVATE KEY")) {
		dst = append(dst, Span{Secret, i, len(b)})
	}
	for i := 0; i < len(b); {
		if classTable[b[i]]&clsWord == 0 {
			i++
			continue
		}
		start := i
		for i < len(b) && classTable[b[i]]&clsWord != 0 {
			i++
		}
		if b[start] == '$' {
			if end := cryptEnd(b, start); end > 0 {
				dst = append(dst, Span{Secret, start, end})
				i = max(i, end)
			}
			continue
		}
		if i-start >= minToken {
			dst = scanWord(dst, b, start, i)
		}
	}
	return dst
}

// scanWord also looks behind each = and / of a word, so that key=sk_live_… is found.
func scanWord(dst []Span, b []byte, start, end int) []Span {
	for at := start; end-at >= minToken; {
		if t := secretType(b[at:end]); t != "" {
			return append(dst, Span{t, at, end})
		}
		if storedHash(b[at:end]) {
			return append(dst, Span{Secret, at, valueEnd(b, at)})
		}
		next := bytes.IndexAny(b[at:end], "=/")
		if next < 0 {
			break
		}
		at += next + 1
	}
	return dst
}

// secretPrefixes are the beginnings that issuers document for live credentials.
var secretPrefixes = [][]string{
	'A': {"AKIA", "ASIA", "ABIA", "ACCA", "AIza", "AGE-SECRET-KEY-", "ATATT3", "ATCTT3"},
	'C': {"CFPAT-"},
	'G': {"GOCSPX-"},
	'L': {"LTAI"},
	'N': {"NRAK-"},
	'P': {"PMAK-"},
	'S': {"SG."},
	'f': {"figd_", "fio-u-", "fo1_"},
	'd': {"dop_v1_", "doo_v1_", "dckr_pat_", "dapi"},
	'g': {"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glrt-", "glptt-", "glc_", "glsa_", "gsk_"},
	'h': {"hf_", "hvs.", "hvb."},
	'l': {"lin_api_"},
	'n': {"npm_", "nfp_"},
	'p': {"pk_live_", "phc_", "pypi-", "pul-", "pscale_tkn_", "pscale_pw_", "pplx-"},
	'r': {"rk_live_", "rk_test_", "rubygems_", "r8_"},
	's': {"sk_live_", "sk_test_", "sk-ant-", "sk-proj-", "sk-", "shpat_", "shpss_", "shpca_", "shppa_", "shippo_live_", "sbp_", "sgp_", "sq0atp-", "sq0csp-", "sqp_", "sntrys_"},
	't': {"tfp_"},
	'w': {"whsec_"},
	'x': {"xai-", "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xapp-"},
	'y': {"ya29."},
}

// How much of a word is read to know a signed token by its two dots, and a key by
// its letters and digits. More would take quadratic time on words made for it.
const (
	tokenBytes = 4096
	keyBytes   = 64
)

func secretType(w []byte) Type {
	if len(w) > 24 && w[0] == 'e' && string(w[:3]) == "eyJ" && bytes.Count(w[:min(len(w), tokenBytes)], []byte{'.'}) >= 2 {
		return JWT
	}
	if int(w[0]) >= len(secretPrefixes) {
		return ""
	}
	for _, p := range secretPrefixes[w[0]] {
		if len(w) >= len(p)+12 && string(w[:len(p)]) == p && mixed(w[len(p):min(len(w), keyBytes)], len(p) > 3) {
			return Secret
		}
	}
	return ""
}

// mixed tells the random part of a key from words: it has letters and digits, or, after
// a beginning that no word has (telling), letters of both cases.
func mixed(w []byte, telling bool) bool {
	digits, upper, lower := countDigits(w), 0, 0
	for _, c := range w {
		switch {
		case c >= 'a' && c <= 'z':
			lower++
		case c >= 'A' && c <= 'Z':
			upper++
		}
	}
	if bytes.Count(w, []byte{'-'}) > 3 {
		return false
	}
	return digits >= 2 && lower+upper >= 2 || telling && (digits >= 1 || lower >= 2 && upper >= 2)
}

// hashNames begin stored hashes of passwords that have no $ in front.
var hashNames = []string{"pbkdf2_sha", "pbkdf2-sha", "pbkdf2:sha", "SCRAM-SHA-", "bcrypt_sha", "argon2$", "scrypt$"}

func storedHash(w []byte) bool {
	switch w[0] {
	case 'p', 'S', 'b', 'a', 's':
	default:
		return false
	}
	for _, p := range hashNames {
		if len(w) >= len(p)+4 && string(w[:len(p)]) == p && bytes.IndexByte(w, '$') > 0 {
			return true
		}
	}
	return false
}

// valueEnd is where a value without spaces and quotes ends.
func valueEnd(b []byte, i int) int {
	for i < len(b) && b[i] > ' ' && b[i] != '"' && b[i] != '\'' && b[i] != '}' {
		i++
	}
	return i
}

// cryptPrefixes begin stored password hashes.
var cryptPrefixes = []string{"$2a$", "$2b$", "$2y$", "$argon2", "$1$", "$5$", "$6$", "$y$", "$7$", "$scrypt$", "$pbkdf2"}

func cryptEnd(b []byte, i int) int {
	for _, p := range cryptPrefixes {
		if len(b)-i < 20 || string(b[i:i+len(p)]) != p {
			continue
		}
		if end := valueEnd(b, i); end-i >= 20 {
			return end
		}
	}
	return 0
}
