package mask

import (
	"strings"
	"unicode"
)

// NameType says which personal data a column or key of this name holds. strong
// means that the name alone is enough evidence; a weak name needs a table of people
// or fitting content.
func NameType(name string) (t Type, strong bool) {
	return tokensType(tokens(name))
}

// tokens splits an identifier at underscores, changes of case and digits, folds
// accents and lowers it.
func tokens(name string) []string {
	var out []string
	var b strings.Builder
	end := func() {
		if b.Len() > 0 {
			out = append(out, b.String())
			b.Reset()
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		if !unicode.IsLetter(r) {
			end()
			continue
		}
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) ||
			unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			end()
		}
		b.WriteString(fold(unicode.ToLower(r)))
	}
	end()
	return out
}

const (
	accented = "àáâãäåāăąçćčďđèéêëēęěìíîïīłñńňòóôõöøōőřśšşťùúûüūůűýÿźżž"
	plain    = "aaaaaaaaacccddeeeeeeeiiiiilnnnoooooooorssstuuuuuuuyyzzz"
)

var folds = makeFolds()

func makeFolds() map[rune]string {
	m := map[rune]string{'ß': "ss", 'æ': "ae", 'œ': "oe", 'þ': "th"}
	i := 0
	for _, r := range accented {
		m[r] = plain[i : i+1]
		i++
	}
	return m
}

func fold(r rune) string {
	if r < 0x80 {
		return string(r)
	}
	if s, ok := folds[r]; ok {
		return s
	}
	return string(r)
}

func tokensType(toks []string) (Type, bool) {
	t, strong := wordsType(toks)
	if strong || len(toks) < 3 {
		return t, strong
	}
	// data_de_nascimento, nome_do_cliente: what binds the words is left out.
	short := make([]string, 0, len(toks))
	for _, w := range toks {
		if !binders[w] {
			short = append(short, w)
		}
	}
	if len(short) == len(toks) {
		return t, strong
	}
	return wordsType(short)
}

var binders = set("of the de do da di du des del della la le el i and et e y van von der for")

func wordsType(toks []string) (Type, bool) {
	if len(toks) == 0 {
		return "", false
	}
	if whole := strings.Join(toks, ""); cancels[toks[len(toks)-1]] && !wholeNames[whole] {
		t, ok := strongNames[whole] // born_on, gps_position
		return t, ok
	}
	for size := min(3, len(toks)); size > 0; size-- {
		for i := range len(toks) - size + 1 { // mac_address is no address: the first that the rest only qualifies
			word := strings.Join(toks[i:i+size], "")
			for _, w := range []string{word, strings.TrimSuffix(word, "s"), numbered(toks[i : i+size])} {
				if t, ok := strongNames[w]; ok && (size > 1 || qualifies(toks[i+size:])) {
					return t, true
				}
			}
		}
	}
	last := len(toks) - 1
	t, ok := weakNames[toks[last]]
	if !ok || t == Person && last > 0 && (nameOfThings[toks[last-1]] || nameOfThings[strings.TrimSuffix(toks[last-1], "s")]) {
		return "", false
	}
	return t, false
}

// numbered is a name whose last word is short for number, written out: insurance_no.
func numbered(toks []string) string {
	last := len(toks) - 1
	switch toks[last] {
	case "no", "nr", "num", "nbr":
		return strings.Join(toks[:last], "") + "number"
	}
	return ""
}

// qualifies says whether what follows a word leaves its meaning: email_address,
// phone_home, iban_old.
func qualifies(rest []string) bool {
	for _, w := range rest {
		if !qualifiers[w] {
			return false
		}
	}
	return true
}

var qualifiers = set(`address addr adresse number num no nr nummer numero value text raw str string full plain clear
	primary secondary main alt alternate backup home work mobile private office personal business billing shipping old new
	current previous last first encrypted enc data info line a b c de fr en us uk eu e id orig original
	cleartext contact customer user owner base gross net brutto netto bruto neto
	cim cime adress adres adresa adresi osoite numer numara numarasi cislo szam numar endereco indirizzo direccion rekening client klient
	pem digest hash konto conto conta compte cuenta cont account`)

// cancels are head nouns that make a name one about the data and not the data.
var cancels = set(`sent verified count counts type kind model at on opened clicked bounced confirmed enabled disabled allowed
	status state flag id ids uuid template subject domain provider format length size score rate total valid validated
	version expires expiry expired required changed updated created optin optout opt in consent preference preferences
	frequency queue method label category class policy limit attempts attempt index position level group is has days
	month year currency seq`)

// wholeNames are those whose last word would otherwise cancel them.
var wholeNames = set(`nationalid taxid personalid voterid passportid driverlicenseid governmentid loginid identityid vatid citizenid
	mothermaidenname patientid deviceid advertisingid androidid advertiserid deviceuuid visitorid installationid personid
	geraeteid geraetid toestelid apparaatid enhetsid enhedsid enhetid laiteid cihazid eszkozid ustid umsatzsteuerid steuerid btwid skypeid`)

func set(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

func lexicon(groups map[Type]string) map[string]Type {
	m := map[string]Type{}
	for t, s := range groups {
		for _, w := range strings.Fields(s) {
			m[w] = t
		}
	}
	return m
}
