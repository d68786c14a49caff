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
	if len(toks) == 0 {
		return "", false
	}
	if cancels[toks[len(toks)-1]] && !strongPairs[strings.Join(toks, "")] {
		return "", false
	}
	for size := min(3, len(toks)); size > 0; size-- {
		for i := len(toks) - size; i >= 0; i-- {
			word := strings.Join(toks[i:i+size], "")
			for _, w := range []string{word, strings.TrimSuffix(word, "s")} {
				if t, ok := strongNames[w]; ok && (i+size == len(toks) || size > 1 || qualifies(toks[i+size:])) {
					return t, true
				}
			}
		}
	}
	for i := len(toks) - 1; i >= 0; i-- {
		if t, ok := weakNames[toks[i]]; ok && i == len(toks)-1 {
			return t, false
		}
	}
	return "", false
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
	cleartext contact customer user owner`)

// cancels are head nouns that make a name one about the data and not the data.
var cancels = set(`sent verified count counts type kind model at on opened clicked bounced confirmed enabled disabled allowed
	status state flag id ids uuid template subject domain provider format length size score rate total valid validated
	version expires expiry expired required changed updated created optin optout opt in consent preference preferences
	frequency queue method label category class policy limit attempts attempt index position level group is has days
	month year currency seq`)

// strongPairs are whole names whose last word would otherwise cancel them.
var strongPairs = set(`nationalid taxid personalid voterid passportid driverlicenseid governmentid loginid identityid vatid
	mothermaidenname patientid`)

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

// strongNames are words, and words run together, that name personal data in
// English, German, French, Spanish, Italian, Portuguese, Dutch, Polish and Swedish.
var strongNames = lexicon(map[Type]string{
	Email: `email mail emailaddress mailaddress emailaddr eaddress courriel correo correoelectronico emailadresse mailadresse
		adressemail adressemel epost epostadress postaelettronica indirizzoemail enderecoemail adresemail usermail contactemail`,
	Person: `fullname firstname lastname middlename givenname familyname surname forename maidenname fname lname displayname
		realname legalname nickname personname customername employeename patientname contactname cardholder cardholdername
		accountholder holdername beneficiaryname recipientname sendername passengername guestname studentname ownername
		vorname nachname familienname geburtsname kundenname ansprechpartner mitarbeitername zuname rufname
		prenom nomfamille nomdefamille nomcomplet nomclient nompatient nomjeunefille
		apellido apellidos nombrecompleto nombrecliente nombreempleado primerapellido segundoapellido primernombre
		cognome nomecognome nomecompleto nomecliente sobrenome nomemae nomepai apelido
		voornaam achternaam volledigenaam tussenvoegsel roepnaam klantnaam imie nazwisko imienazwisko fornamn efternamn
		mothersmaidenname mothermaidenname nextofkin emergencycontact kinname payeename payername signatory`,
	Phone: `phone telephone tel mobile mobilephone cell cellphone phonenumber phoneno telno msisdn fax faxnumber telefon telefonnummer
		handy handynummer mobilnummer rufnummer mobiltelefon telefone celular movil telefono telefonofijo cellulare numtel
		numerotelephone telefoonnummer telefoon mobiel telefonu komorka mobil whatsapp contactnumber phonehome phonework`,
	Card: `creditcard cardnumber ccnumber ccnum ccno cardno cardnum pan debitcard creditcardnumber kreditkarte kreditkartennummer
		kartennummer cartebancaire numerocarte numcarte tarjeta numerotarjeta cartadicredito numerocarta numerocartao creditcardno
		kaartnummer paymentcard cvv cvc cvv2 cardpan`,
	IBAN: `iban ibannumber ibannr kontoiban`,
	Account: `accountnumber acctnumber acctno acctnum accountno bankaccount bankaccountnumber kontonummer routingnumber sortcode
		numerocuenta cuentabancaria numerocompte comptebancaire rib contocorrente contabancaria rekeningnummer bankkonto
		accountnum bic swiftcode clabe`,
	SSN: `ssn socialsecurity socialsecuritynumber socsec ssnumber socialsecurityno itin`,
	NationalID: `nationalid nationalidnumber nationalinsurance nationalinsurancenumber nino taxid taxnumber taxpayerid tin passport
		passportnumber passportno passportid driverlicense drivinglicence driverslicense driverlicence licensenumber licenceno
		drivinglicense personalid personalnumber idcard idnumber identitynumber identitycard identityid voterid governmentid aadhaar
		aadhar pannumber nhsnumber nhs nhsno steuerid steuernummer ausweisnummer personalausweis reisepass sozialversicherungsnummer svnr
		nir numerosecu numerosecuritesociale securitesociale numsecu insee passeport dni nie nif curp rfc nss pasaporte
		codicefiscale codfiscale partitaiva passaporto cpf cnh bsn burgerservicenummer rijbewijs paspoort pesel
		dowod paszport personnummer cnp egn tckimlik rodnecislo vatid licenseplate numberplate kennzeichen
		immatriculation matricula targa kenteken medicarenumber medicare insurancenumber mrn medicalrecordnumber patientid
		healthinsurancenumber krankenversicherungsnummer versichertennummer studentnumber`,
	IP: `ip ipaddress ipaddr ipv clientip remoteip remoteaddr sourceip srcip loginip lastip userip adresseip direccionip
		indirizzoip ipadresse ipadres signupip hostip visitorip`,
	MAC: `macaddress macaddr mac imei imsi hwaddr`,
	BirthDate: `dob birthdate dateofbirth birthday birth bday born bornon birthdt geburtsdatum geburtstag gebdatum gebdat gebtag
		datenaissance datedenaissance naissance fechanacimiento fechadenacimiento nacimiento fecnac datanascita datadinascita
		nascita datanascimento datadenascimento nascimento geboortedatum geboorte dataurodzenia fodelsedatum dateofdeath`,
	Address: `streetaddress homeaddress postaladdress mailingaddress billingaddress shippingaddress deliveryaddress street streetname
		addressline addressl addr street1 residence residentialaddress homeaddr strasse strassenname hausnummer anschrift
		wohnort wohnadresse lieferadresse rechnungsadresse postanschrift rue numerorue adressepostale adresselivraison domicile
		domicilio calle direccion direccionpostal indirizzo residenza endereco logradouro rua morada straat straatnaam
		huisnummer woonadres ulica adreszamieszkania adres gata adress postalcode postcode zipcode zip plz postleitzahl codepostal
		codigopostal cep kodpocztowy postnummer shipaddress billaddress`,
	Salary: `salary wage income basesalary annualsalary compensation payrate grosspay netpay bonus gehalt lohn einkommen
		jahresgehalt bruttogehalt nettogehalt verdienst salaire remuneration revenuannuel traitement salario sueldo nomina ingresos
		stipendio retribuzione remuneracao ordenado vencimento salaris loon inkomen pensja wynagrodzenie networth creditscore
		annualincome monthlyincome payroll`,
	Health: `diagnosis diagnose diagnoses diagnostic diagnostico diagnosi diagnoza diagnostik icd icdcode medicalcondition 		illness disease disability medication medications prescription allergy allergies allergie alergia bloodtype bloodgroup
		blutgruppe groupesanguin gruposanguineo tiposanguineo grupposanguigno bloedgroep krankheit behinderung maladie handicap enfermedad
		malattia doenca ziekte schwangerschaft pregnant pregnancy hivstatus symptoms symptom medicalhistory medicalnotes
		bmi sickleave sickdays cholesterol bloodpressure healthcondition`,
	Belief: `religion religious faith ethnicity race ethnicorigin sexualorientation politicalparty politicalaffiliation konfession
		glaube ethnie origineethnique etnia orientationsexuelle orientacionsexual orientamentosessuale partido religione religiao
		religie geloof unionmembership gewerkschaft caste sexuality`,
	Location: `latitude longitude lat lng lon geolocation geopoint gpscoordinates gps homelocation breitengrad laengengrad`,
	Username: `username login loginname loginid userlogin screenname benutzername nutzername nomutilisateur identifiant nombreusuario
		nomeutente usuario gebruikersnaam skypeid twitterhandle telegram`,
	Secret: `password passwd pwd passphrase passwordhash pwdhash pwhash passhash hashedpassword encryptedpassword passworddigest
		secret clientsecret secretkey apikey apisecret accesstoken refreshtoken authtoken bearertoken sessiontoken privatekey
		accesskey secretaccesskey resettoken passwordresettoken otpsecret totpsecret mfasecret totp pin pincode securityanswer
		recoverycode recoverycodes passwort kennwort passworthash geheimnis motdepasse mdp contrasena clave clavesecreta parola
		parolachiave senha palavrapasse wachtwoord haslo losenord webhooksecret signingkey encryptionkey token apitoken
		sessionkey cookie credential credentials csrftoken devicetoken`,
})

// weakNames need a table of people, or fitting content.
var weakNames = lexicon(map[Type]string{
	Person: `name nom nombre nome naam namn nazwa author contact recipient sender owner holder manager employee customer patient
		person assignee agent driver passenger guest signer prenoms client kunde approver reviewer`,
	Address:  `address adresse city town stadt ville ciudad citta cidade stad miasto ort comuna location place region`,
	Phone:    `number`,
	Account:  `account konto compte cuenta conto conta rekening`,
	Secret:   `key code hash signature`,
	Username: `handle user alias nick`,
	Health:   `condition treatment`,
})

// peopleTables make weak names in a table personal; thingTables make them about
// something else.
var peopleTables = set(`customer user employee patient person people member contact kunde kunden client clients cliente clientes
	mitarbeiter angestellte benutzer nutzer utilisateur utilisateurs usager personne personnes salarie salaries empleado empleados usuario
	usuarios persona personas paciente pacientes dipendente dipendenti utente utenti paziente pazienti funcionario funcionarios pessoa
	pessoas klant klanten medewerker medewerkers gebruiker gebruikers persoon personen patienten pracownik pracownicy klient klienci
	student staff applicant candidate lead subscriber guest passenger driver tenant resident donor beneficiary recipient
	participant visitor profile crew teacher doctor nurse parent child contacts adherent adherents eleve abonne abonnes
	personal mitglied mitglieder lieferempfaenger anwender citizen voter prospect borrower insured policyholder holder
	author buyer seller hr payroll`)

var thingTables = set(`product products item category brand company companies vendor supplier country countries city cities region
	currency store shop warehouse department role permission setting settings config feature plan tag file document page menu
	project team organization organisation org firma firmen produkt produkte artikel entreprise societe produit produits
	producto productos empresa empresas azienda prodotto prodotti produto bedrijf producten event job queue campaign template
	service server host device location sku catalog catalogue course subject genre language unit color flag migration version`)

func tableIs(words map[string]bool, table string) bool {
	for _, t := range tokens(table) {
		if words[t] || words[strings.TrimSuffix(t, "s")] {
			return true
		}
	}
	return false
}
