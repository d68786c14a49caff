package mask

// Digits of a telephone number, country code included (ITU-T E.164).
const (
	minPhone = 8
	maxPhone = 15
)

// matchPhone finds international numbers (+49 …), numbers of North America
// ((415) 555-0132) and national numbers in groups that begin with a trunk 0.
func matchPhone(b []byte, i int) (int, bool) {
	var g groups
	end := g.read(b, i)
	if end == 0 || !ended(b, end) {
		return 0, false
	}
	switch {
	case b[i] == '+':
		return end, g.digits >= minPhone && g.digits <= maxPhone && callingCode(b[i+1:]) > 0
	case i > 0 && (b[i-1] == '.' || b[i-1] == '-' || b[i-1] == '+'):
		return 0, false
	case g.n == 3 && g.len[0] == 3 && g.len[1] == 3 && g.len[2] == 4:
		return end, g.first >= '2'
	case g.n == 4 && g.len[0] == 1 && g.first == '1' && g.len[1] == 3 && g.len[2] == 3 && g.len[3] == 4:
		return end, true
	case g.n == 3 && g.len[0] == 3 && g.len[1] == 2: // an American number that was never issued
		return 0, false
	case g.n == 2 && g.first == '0' && g.slashes == 1 && g.dots == 0 && g.len[0] >= 3 && g.len[1] >= 5: // 030/901820
		return end, g.digits >= 9 && g.digits <= 13
	case g.first == '0' && g.len[0] >= 2 && g.len[0] <= 5 && g.n >= 2 && g.dots+g.slashes == 0 && (end == len(b) || b[end] != ':'):
		return end, g.digits >= 9 && g.digits <= 12
	}
	return 0, false
}

// groups are runs of digits with one separator, or two such as ") ", between them.
type groups struct {
	len     [8]int
	n       int
	digits  int
	dots    int // between groups, as dates have
	slashes int
	first   byte
}

func (g *groups) read(b []byte, i int) (end int) {
	at := i
	if at < len(b) && b[at] == '+' {
		at++
	}
	gap, dots, slashes := 0, 0, 0
	for ; at < len(b); at++ {
		c := b[at]
		if isDigit(c) {
			if gap > 0 || g.n == 0 {
				if g.n == len(g.len) {
					return 0
				}
				g.n++
			}
			if g.digits == 0 {
				g.first = c
			}
			g.dots, g.slashes = g.dots+dots, g.slashes+slashes
			gap, dots, slashes = 0, 0, 0
			g.len[g.n-1]++
			g.digits++
			end = at + 1
			if g.digits > maxPhone {
				return 0
			}
			continue
		}
		if (c != ' ' && c != '-' && c != '.' && c != '(' && c != ')' && c != '/') || gap == 2 {
			break
		}
		switch c {
		case '.':
			dots++
		case '/':
			slashes++
		}
		if g.digits > 0 {
			gap++
		} else if at > i+1 {
			break
		}
	}
	return end
}

// callingCode is the number of digits of the country code at the start of b, or 0
// if no country has it. Codes of one digit are 1 and 7; those of two are listed;
// those of three fill the ranges around them.
func callingCode(b []byte) int {
	if len(b) < 3 || !isDigit(b[0]) || b[0] == '0' {
		return 0
	}
	if b[0] == '1' || b[0] == '7' {
		return 1
	}
	if !isDigit(b[1]) {
		return 0
	}
	switch (b[0]-'0')*10 + b[1] - '0' {
	case 20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49,
		51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 62, 63, 64, 65, 66,
		81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98:
		return 2
	case 21, 22, 23, 24, 25, 26, 29, 35, 37, 38, 42, 50, 59, 67, 68, 69, 80, 85, 87, 88, 96, 97, 99:
		if isDigit(b[2]) {
			return 3
		}
	}
	return 0
}
