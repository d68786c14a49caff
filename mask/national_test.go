package mask

import "testing"

// Numbers that the offices, or the articles about them, give as examples.
func TestNationalSchemes(t *testing.T) {
	for _, tt := range []struct{ scheme, value string }{
		{"Spain's DNI", "12345678Z"}, {"Spain's NIE", "X1234567L"}, {"Italy's codice fiscale", "RSSMRA85T10A562S"},
		{"Britain's National Insurance number", "AB123456C"}, {"Britain's NHS number", "943 476 5919"}, {"Germany's tax number", "86095742719"},
		{"France's social security number", "255081416802538"}, {"the Dutch BSN", "111222333"}, {"Belgium's register number", "85.07.30-033.28"},
		{"Poland's PESEL", "44051401359"}, {"Sweden's personnummer", "811218-9876"}, {"Finland's personal code", "131052-308T"},
		{"Brazil's CPF", "529.982.247-25"}, {"Brazil's CPF", "52998224725"}, {"China's resident number", "11010519491231002X"}, {"Turkey's identity number", "10000000146"},
		{"South Africa's identity number", "8001015009087"}, {"Canada's SIN", "130-692-544"}, {"Switzerland's AHV number", "756.9217.0769.85"},
		{"Bulgaria's EGN", "7523169263"}, {"Chile's RUT", "12.345.678-5"}, {"Singapore's NRIC", "S1234567D"}, {"Hong Kong's identity card", "A123456(3)"},
		{"Australia's TFN", "123 456 782"}, {"India's Aadhaar", "2341 2341 2346"}, {"Mexico's CURP", "HEGG560427MVZRRL04"},
		{"Argentina's CUIL", "20-12345678-6"}, {"Norway's birth number", "01010750160"},
	} {
		found := nationalSchemes([]byte(tt.value))
		ok := false
		for i, s := range schemes {
			ok = ok || s.name == tt.scheme && found&(1<<i) != 0
		}
		if !ok {
			t.Errorf("%s is not %s", tt.value, tt.scheme)
		}
	}
}

// By chance no more numbers may pass than the sum of one digit lets through, or a
// column of other numbers would be taken for one of people.
func TestNationalSchemesByChance(t *testing.T) {
	for _, digits := range []int{8, 9, 10, 11, 12, 13, 15} {
		var count schemeCount
		x := uint64(1)
		for range 20_000 {
			v := make([]byte, digits)
			for i := range v {
				x = x*6364136223846793005 + 1442695040888963407
				v[i] = '0' + byte(x>>33%10)
			}
			count.add(nationalSchemes(v))
		}
		if name, n := count.best(); n > 2_600 {
			t.Errorf("%d random digits: %d of 20000 are %s", digits, n, name)
		}
	}
}

func FuzzNationalSchemes(f *testing.F) {
	for _, s := range []string{"12345678Z", "A123456(3)", "999999A999*", "756.9217.0769.85", "12.345.678-K"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, v []byte) { nationalSchemes(v) })
}
