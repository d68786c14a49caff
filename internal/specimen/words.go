package specimen

// words are names of columns in other languages, by kind. German, French, Spanish
// and Italian are for tuning, the others for judging. For Estonian and Indonesian the
// finder was given no words, to see what it does in a language that it was not made for.
var words = map[string]map[string]string{
	"de": {"email": "email_adresse", "person": "kunden_name", "given": "vorname", "family": "nachname", "phone": "telefonnummer", "address": "anschrift", "dob": "geburtsdatum",
		"natid": "ausweisnummer", "passport": "reisepass_nr", "licence": "fuehrerschein_nr", "plate": "kennzeichen", "card": "kreditkarte", "iban": "iban", "account": "kontonummer",
		"tax": "steuernummer", "ip": "ip_adresse", "mac": "mac_adresse", "latitude": "breitengrad", "salary": "gehalt", "health": "diagnose", "religion": "konfession",
		"password": "passwort", "device": "geraete_id", "notes": "bemerkung", "api_key": "api_schluessel"},
	"fr": {"email": "courriel", "person": "nom_complet", "given": "prenom", "family": "nom_de_famille", "phone": "telephone", "address": "adresse_postale", "dob": "date_naissance",
		"natid": "numero_secu", "passport": "passeport", "licence": "permis_conduire", "plate": "immatriculation", "card": "carte_bancaire", "iban": "iban_client", "account": "numero_compte",
		"tax": "numero_fiscal", "ip": "adresse_ip", "mac": "adresse_mac", "latitude": "latitude", "salary": "salaire", "health": "diagnostic", "religion": "religion",
		"password": "mot_de_passe", "device": "id_appareil", "notes": "commentaire", "api_key": "cle_api"},
	"es": {"email": "correo_electronico", "person": "nombre_completo", "given": "primer_nombre", "family": "apellidos", "phone": "telefono", "address": "direccion", "dob": "fecha_nacimiento",
		"natid": "dni", "passport": "pasaporte", "licence": "carnet_conducir", "plate": "matricula", "card": "tarjeta_credito", "iban": "cuenta_iban", "account": "numero_cuenta",
		"tax": "nif", "ip": "direccion_ip", "mac": "direccion_mac", "latitude": "latitud", "salary": "salario", "health": "diagnostico", "religion": "religion",
		"password": "contrasena", "device": "id_dispositivo", "notes": "observaciones", "api_key": "clave_api"},
	"it": {"email": "posta_elettronica", "person": "nome_completo", "given": "nome_proprio", "family": "cognome", "phone": "cellulare", "address": "indirizzo", "dob": "data_nascita",
		"natid": "codice_fiscale", "passport": "passaporto", "licence": "patente", "plate": "targa", "card": "carta_credito", "iban": "iban_conto", "account": "numero_conto",
		"tax": "partita_iva", "ip": "indirizzo_ip", "mac": "indirizzo_mac", "latitude": "latitudine", "salary": "stipendio", "health": "diagnosi", "religion": "religione",
		"password": "parola_chiave", "device": "id_dispositivo", "notes": "annotazioni", "api_key": "chiave_api"},

	"pt": {"email": "endereco_email", "person": "nome_do_cliente", "given": "primeiro_nome", "family": "sobrenome", "phone": "telefone_celular", "address": "morada", "dob": "data_de_nascimento",
		"natid": "bilhete_identidade", "passport": "numero_passaporte", "licence": "carta_conducao", "plate": "placa_veiculo", "card": "cartao_de_credito", "iban": "iban", "account": "conta_bancaria",
		"tax": "contribuinte", "ip": "endereco_ip", "mac": "endereco_mac", "latitude": "latitude", "salary": "salario_base", "health": "doenca", "religion": "religiao",
		"password": "palavra_passe", "device": "id_aparelho", "notes": "observacoes", "api_key": "chave_api"},
	"nl": {"email": "mailadres", "person": "volledige_naam", "given": "voornaam", "family": "achternaam", "phone": "telefoonnummer", "address": "woonadres", "dob": "geboortedatum",
		"natid": "burgerservicenummer", "passport": "paspoortnummer", "licence": "rijbewijsnummer", "plate": "kenteken", "card": "creditcardnummer", "iban": "iban_rekening", "account": "rekeningnummer",
		"tax": "btw_nummer", "ip": "ip_adres", "mac": "mac_adres", "latitude": "breedtegraad", "salary": "brutoloon", "health": "ziekte", "religion": "geloof",
		"password": "wachtwoord", "device": "toestel_id", "notes": "opmerkingen", "api_key": "api_sleutel"},
	"pl": {"email": "adres_email", "person": "imie_i_nazwisko", "given": "imie", "family": "nazwisko", "phone": "numer_telefonu", "address": "adres_zamieszkania", "dob": "data_urodzenia",
		"natid": "pesel", "passport": "numer_paszportu", "licence": "prawo_jazdy", "plate": "numer_rejestracyjny", "card": "numer_karty", "iban": "iban", "account": "numer_konta",
		"tax": "nip", "ip": "adres_ip", "mac": "adres_mac", "latitude": "szerokosc_geograficzna", "salary": "wynagrodzenie", "health": "choroba", "religion": "wyznanie",
		"password": "haslo", "device": "id_urzadzenia", "notes": "uwagi", "api_key": "klucz_api"},
	"sv": {"email": "e_postadress", "person": "kundnamn", "given": "fornamn", "family": "efternamn", "phone": "mobilnummer", "address": "gatuadress", "dob": "fodelsedag",
		"natid": "personnummer", "passport": "passnummer", "licence": "korkortsnummer", "plate": "registreringsnummer", "card": "kortnummer", "iban": "iban", "account": "bankkonto",
		"tax": "skattenummer", "ip": "ip_adress", "mac": "mac_adress", "latitude": "latitud", "salary": "manadslon", "health": "sjukdom", "religion": "trosbekannelse",
		"password": "losenord", "device": "enhets_id", "notes": "anteckningar", "api_key": "api_nyckel"},
	"da": {"email": "email_adresse", "person": "fulde_navn", "given": "fornavn", "family": "efternavn", "phone": "telefonnummer", "address": "bopael", "dob": "foedselsdato",
		"natid": "cpr_nummer", "passport": "pasnummer", "licence": "koerekort_nr", "plate": "nummerplade", "card": "kortnummer", "iban": "iban", "account": "kontonummer",
		"tax": "skattenummer", "ip": "ip_adresse", "mac": "mac_adresse", "latitude": "breddegrad", "salary": "loen", "health": "sygdom", "religion": "trosretning",
		"password": "adgangskode", "device": "enheds_id", "notes": "bemaerkning", "api_key": "api_noegle"},
	"fi": {"email": "sahkoposti", "person": "koko_nimi", "given": "etunimi", "family": "sukunimi", "phone": "puhelinnumero", "address": "katuosoite", "dob": "syntymaaika",
		"natid": "henkilotunnus", "passport": "passin_numero", "licence": "ajokortti", "plate": "rekisterinumero", "card": "kortin_numero", "iban": "iban", "account": "tilinumero",
		"tax": "veronumero", "ip": "ip_osoite", "mac": "mac_osoite", "latitude": "leveysaste", "salary": "palkka", "health": "sairaus", "religion": "uskonto",
		"password": "salasana", "device": "laite_id", "notes": "huomautus", "api_key": "api_avain"},
	"cs": {"email": "e_mail", "person": "cele_jmeno", "given": "krestni_jmeno", "family": "prijmeni", "phone": "telefonni_cislo", "address": "adresa_bydliste", "dob": "datum_narozeni",
		"natid": "rodne_cislo", "passport": "cislo_pasu", "licence": "ridicsky_prukaz", "plate": "spz", "card": "cislo_karty", "iban": "iban", "account": "cislo_uctu",
		"tax": "dic", "ip": "ip_adresa", "mac": "mac_adresa", "latitude": "zemepisna_sirka", "salary": "mzda", "health": "nemoc", "religion": "nabozenstvi",
		"password": "heslo", "device": "id_zarizeni", "notes": "poznamka", "api_key": "api_klic"},
	"tr": {"email": "e_posta", "person": "ad_soyad", "given": "adi", "family": "soyadi", "phone": "cep_telefonu", "address": "ev_adresi", "dob": "dogum_tarihi",
		"natid": "tc_kimlik_no", "passport": "pasaport_no", "licence": "ehliyet_no", "plate": "plaka", "card": "kart_numarasi", "iban": "iban", "account": "hesap_no",
		"tax": "vergi_no", "ip": "ip_adresi", "mac": "mac_adresi", "latitude": "enlem", "salary": "maas", "health": "hastalik", "religion": "din",
		"password": "sifre", "device": "cihaz_id", "notes": "aciklama", "api_key": "api_anahtari"},
	"hu": {"email": "email_cim", "person": "teljes_nev", "given": "keresztnev", "family": "vezeteknev", "phone": "telefonszam", "address": "lakcim", "dob": "szuletesi_datum",
		"natid": "szemelyi_szam", "passport": "utlevelszam", "licence": "jogositvany", "plate": "rendszam", "card": "kartyaszam", "iban": "iban", "account": "szamlaszam",
		"tax": "adoszam", "ip": "ip_cim", "mac": "mac_cim", "latitude": "szelesseg", "salary": "fizetes", "health": "betegseg", "religion": "vallas",
		"password": "jelszo", "device": "eszkoz_id", "notes": "megjegyzes", "api_key": "api_kulcs"},
	"ro": {"email": "adresa_email", "person": "nume_complet", "given": "prenume", "family": "nume_familie", "phone": "numar_telefon", "address": "adresa_domiciliu", "dob": "data_nasterii",
		"natid": "cnp", "passport": "numar_pasaport", "licence": "permis_conducere", "plate": "numar_inmatriculare", "card": "numar_card", "iban": "iban", "account": "cont_bancar",
		"tax": "cod_fiscal", "ip": "adresa_ip", "mac": "adresa_mac", "latitude": "latitudine", "salary": "salariu", "health": "boala", "religion": "religie",
		"password": "parola", "device": "id_dispozitiv", "notes": "observatii", "api_key": "cheie_api"},

	"et": {"email": "e_kiri", "person": "taisnimi", "given": "eesnimi", "family": "perenimi", "phone": "telefoninumber", "address": "elukoht", "dob": "sunniaeg",
		"natid": "isikukood", "passport": "passi_number", "licence": "juhiluba", "plate": "numbrimark", "card": "kaardi_number", "iban": "iban", "account": "arve_number",
		"tax": "maksunumber", "ip": "ip_aadress", "mac": "mac_aadress", "latitude": "laiuskraad", "salary": "palk", "health": "haigus", "religion": "usk",
		"password": "parool", "device": "seadme_id", "notes": "markus", "api_key": "api_voti"},
	"id": {"email": "surel", "person": "nama_lengkap", "given": "nama_depan", "family": "nama_belakang", "phone": "nomor_telepon", "address": "alamat", "dob": "tanggal_lahir",
		"natid": "nomor_ktp", "passport": "nomor_paspor", "licence": "nomor_sim", "plate": "plat_nomor", "card": "nomor_kartu", "iban": "iban", "account": "nomor_rekening",
		"tax": "npwp", "ip": "alamat_ip", "mac": "alamat_mac", "latitude": "lintang", "salary": "gaji", "health": "penyakit", "religion": "agama",
		"password": "kata_sandi", "device": "id_perangkat", "notes": "catatan", "api_key": "kunci_api"},
}

// english are honest names, for tuning and for judging.
var english = map[string][2][]string{
	"email": {some("email customer_email"), some("e_mail contactEmailAddr login_email")}, "person": {some("full_name customer_name"), some("patient_name holderName display_name")},
	"person_last_first": {some("contact_name"), some("insured_person_name")}, "given": {some("first_name"), some("given_name fname")}, "family": {some("last_name"), some("surname lname")},
	"phone": {some("phone mobile_phone"), some("tel_no cellNumber contact_phone")}, "phone_national": {some("telephone"), some("landline")}, "phone_digits": {some("phone_number"), some("msisdn")},
	"address": {some("street_address"), some("home_address addr_line_1")}, "address_full": {some("address"), some("mailing_address")}, "dob": {some("date_of_birth dob"), some("birth_date born_on")},
	"dob_text": {some("birthday"), some("patient_dob")}, "card": {some("card_number"), some("cc_num payment_card_no")}, "card_grouped": {some("credit_card"), some("pan")}, "card_number": {some("card_no"), some("debit_card_number")},
	"iban": {some("iban"), some("payout_iban")}, "iban_grouped": {some("bank_iban"), some("iban_number")}, "account": {some("account_number"), some("bank_acct_no")},
	"ip": {some("ip_address"), some("client_ip last_login_ip")}, "ip6": {some("remote_addr"), some("ipv6_addr")}, "ip_inet": {some("source_ip"), some("peer_ip")},
	"mac": {some("mac_address"), some("hw_addr")}, "mac_type": {some("mac"), some("wifi_mac")}, "device": {some("device_id"), some("advertising_id imei")},
	"geo": {some("geo_location"), some("gps_position")}, "latitude": {some("latitude"), some("home_lat")}, "salary": {some("salary"), some("annual_income base_pay")},
	"health": {some("diagnosis"), some("icd10_code medical_condition")}, "religion": {some("religion"), some("ethnicity")}, "passport": {some("passport_number"), some("passport_no")},
	"licence": {some("driver_license"), some("driving_licence_no")}, "plate": {some("license_plate"), some("vehicle_reg plate_number")}, "tax": {some("tax_id"), some("tin vat_number")},
	"api_key": {some("api_key"), some("apikey access_key")}, "password_hash": {some("password_hash"), some("pw_digest encrypted_password")}, "password": {some("password"), some("passwd user_pwd")},
	"private_key": {some("private_key"), some("tls_key_pem")}, "jwt": {some("jwt"), some("id_token")}, "session_token": {some("session_token"), some("refresh_token auth_session_key")}, "dsn": {some("database_url"), some("conn_string")},
	"us_ssn": {some("ssn"), some("social_security_no")}, "gb_nino": {some("national_insurance"), some("ni_number")}, "gb_nhs": {some("nhs_number"), some("nhs_no")},
}

// general names are for kinds that have none of their own.
var general = map[bool][2][]string{
	true:  {some("national_id"), some("identity_number citizen_id")},
	false: {some("notes payload"), some("remarks raw_data detail")},
}

// honestOf gives the honest names of one of the two sets.
func honestOf(set int) func(string) []string {
	ofStates := map[string]bool{}
	for _, k := range ids {
		ofStates[k.name] = true
	}
	return func(kind string) []string {
		if names, ok := english[kind]; ok {
			return names[set]
		}
		return general[ofStates[kind]][set]
	}
}
