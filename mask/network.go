package mask

import "net/netip"

// matchIPv4 finds four numbers up to 255 with dots between them, and no fifth.
func matchIPv4(b []byte, i int) (int, bool) {
	at := i
	for part := range 4 {
		v, n := 0, 0
		for at < len(b) && isDigit(b[at]) && n < 4 {
			v = v*10 + int(b[at]-'0')
			n++
			at++
		}
		if n == 0 || n > 3 || v > 255 || (n > 1 && b[at-n] == '0') {
			return 0, false
		}
		if part == 3 {
			break
		}
		if at >= len(b) || b[at] != '.' {
			return 0, false
		}
		at++
	}
	if !ended(b, at) || (i > 0 && b[i-1] == '.') || (at+1 < len(b) && b[at] == '.' && isDigit(b[at+1])) {
		return 0, false
	}
	return at, true
}

// evidentIPv4 tells addresses from version numbers, which look the same but have
// small parts, and from addresses that name no one: loopback and unspecified.
func evidentIPv4(b []byte) bool {
	first, part, high := -1, 0, false
	for i := 0; i <= len(b); i++ {
		if i < len(b) && isDigit(b[i]) {
			part = part*10 + int(b[i]-'0')
			continue
		}
		if first < 0 {
			first = part
		}
		high = high || part >= 64
		part = 0
	}
	return high && first != 0 && first != 127 && first != 255
}

// scanHexGroups finds MAC addresses and IPv6 addresses.
func scanHexGroups(dst []Span, b []byte) []Span {
	for i := 0; i < len(b); i++ {
		if (!isHex(b[i]) && b[i] != ':') || (i > 0 && (isAlnum(b[i-1]) || b[i-1] == ':' || b[i-1] == '-')) {
			continue
		}
		end, colons, groups := i, 0, 1
		for end < len(b) && (isHex(b[end]) || b[end] == ':' || b[end] == '-') {
			if b[end] == ':' {
				colons++
			}
			if !isHex(b[end]) {
				groups++
			}
			end++
		}
		switch word := b[i:end]; {
		case isMAC(word):
			dst = append(dst, Span{MAC, i, end})
		case colons >= 2 && ended(b, end) && isIPv6(word, groups):
			dst = append(dst, Span{IP, i, end})
		}
		i = max(i, end-1)
	}
	return dst
}

func isMAC(w []byte) bool {
	if len(w) != 17 || (w[2] != ':' && w[2] != '-') {
		return false
	}
	for i, c := range w {
		if (i%3 == 2) != (c == w[2]) || (i%3 != 2 && !isHex(c)) {
			return false
		}
	}
	return string(w) != "00:00:00:00:00:00"
}

// isIPv6 leaves out what is short enough to be something else, such as ::1 or a::b.
func isIPv6(w []byte, groups int) bool {
	if len(w) > 39 || len(w) < 8 || groups < 4 {
		return false
	}
	a, err := netip.ParseAddr(string(w))
	return err == nil && a.Is6()
}
