package mask

// Readable says whether personal data shows in the text of a value of this type.
func Readable(oid uint32) bool {
	switch kindOf(oid) {
	case kindText, kindJSON, kindJSONB, kindXML, kindTextArray, kindJSONArray:
		return true
	}
	return false
}

// Forms are the personal forms that a value has, or parts of it, each once.
func Forms(v []byte, oid uint32) (forms []Type) {
	for _, s := range Scan(nil, v, oid, false) {
		if !contains(forms, s.Type) {
			forms = append(forms, s.Type)
		}
	}
	return forms
}

// Doubtful says whether so many values of a personal form, of those seen of a column
// that was called clean, show that it is not. Of a form that nothing else has two are
// enough; numbers that pass a check by chance, and what looks like a telephone number,
// an address of the network or a name, must be a third.
func Doubtful(form Type, hits, seen int) bool {
	if hits < 2 {
		return false
	}
	return Certain(form) || hits*3 >= seen
}

// Certain reports whether nothing but personal data has this form.
func Certain(form Type) bool {
	switch form {
	case Email, IBAN, Secret, JWT, SSN, MAC:
		return true
	}
	return false
}

// Types are the types that a column can be said to be of, in order.
func Types() []Type {
	return []Type{Account, Address, Belief, BirthDate, Card, Device, Licence, Email, Health, IBAN, IP, JWT, Location, MAC, NationalID,
		Passport, Person, Phone, Plate, Salary, Secret, SSN, TaxID, Text, Username}
}
