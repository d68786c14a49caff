package mask

import "strings"

// strongNames are words, and words run together, that name personal data. They are
// in English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Swedish,
// Danish, Norwegian, Finnish, Czech, Slovak, Turkish, Hungarian and Romanian.
var strongNames = lexicon(map[Type]string{
	Email: `email mail emailaddress mailaddress emailaddr eaddress courriel correo correoelectronico emailadresse mailadresse
		adressemail adressemel epost epostadress epostadresse postaelettronica indirizzoemail enderecoemail adresemail usermail contactemail
		mailadres emailadres mailadress mejl eposta epostaadresi sahkoposti sahkopostiosoite elektronickaposta elpost adresamail
		emailcim villamposta postaelectronica maila elektronickyadresa`,
	Person: `fullname firstname lastname middlename givenname familyname surname forename maidenname fname lname displayname
		realname legalname nickname personname customername employeename patientname contactname cardholder cardholdername
		accountholder holdername beneficiaryname recipientname sendername passengername guestname studentname ownername membername
		insuredpersonname insuredname subscribername tenantname drivername parentname teachername applicantname authorname
		vorname nachname familienname geburtsname kundenname ansprechpartner mitarbeitername zuname rufname personenname
		prenom nomfamille nomdefamille nomcomplet nomclient nompatient nomjeunefille nomusage nompersonne
		apellido apellidos nombrecompleto nombrecliente nombreempleado primerapellido segundoapellido primernombre segundonombre
		nombrepila cognome nomecognome nomecompleto nomecliente nomeproprio sobrenome nomemae nomepai apelido primeironome nomepessoa
		voornaam achternaam volledigenaam tussenvoegsel roepnaam klantnaam voorletters meisjesnaam
		imie nazwisko imienazwisko nazwiskoimie nazwiskopanienskie drugieimie fornamn efternamn kundnamn tilltalsnamn fullnamn
		fornavn efternavn etternavn mellomnavn mellemnavn fuldenavn fulltnavn kundenavn personnavn
		etunimi sukunimi kokonimi toinennimi kutsumanimi asiakasnimi jmeno krestnijmeno prijmeni celejmeno jmenoprijmeni krstnemeno priezvisko
		celemeno menopriezvisko soyad soyadi soyisim adsoyad adisoyadi isimsoyisim ismi musteriadi
		keresztnev vezeteknev teljesnev csaladnev utonev leanykorinev ugyfelnev nume prenume numecomplet numefamilie numeprenume numeclient
		mothersmaidenname mothermaidenname nextofkin emergencycontact kinname payeename payername signatory`,
	Phone: `phone telephone tel mobile mobilephone cell cellphone phonenumber phoneno telno msisdn fax faxnumber telefon telefonnummer
		handy handynummer mobilnummer rufnummer mobiltelefon telefone telefonecelular celular movil telefono telefonofijo cellulare numtel cellnumber
		numerotelephone telefoonnummer telefoon mobiel telefonu komorka mobil whatsapp contactnumber phonehome phonework landline
		telefonnumer telefonszam mobilszam puhelin puhelinnumero matkapuhelin mobilnum telefonni telefonnicislo telefonicislo mobilnicislo
		ceptelefonu telefonnumarasi ceptel telefonno gsm tlf tlfnr tlfnummer mobilnr telnr tlfn numartelefon telefonmobil kontakttelefon portable
		telemovel kontaktnummer mobilenumber homephone workphone`,
	Card: `creditcard cardnumber ccnumber ccnum ccno cardno cardnum pan debitcard creditcardnumber kreditkarte kreditkartennummer
		kartennummer cartebancaire numerocarte numcarte tarjeta numerotarjeta tarjetacredito cartadicredito cartacredito numerocarta numerocartao cartaocredito creditcardno
		kaartnummer paymentcard cvv cvc cvv2 cardpan creditcardnummer betaalkaart kartynumer numerkarty kartaplatnicza kortnummer kreditkort
		kortinnumero luottokortti cislokarty kreditnikarta platebnikarta cislokreditnejkarty kartnumarasi kartno kredikarti kartyaszam bankkartya
		hitelkartya numarcard cardcredit cartecredit`,
	IBAN: `iban ibannumber ibannr kontoiban`,
	Account: `accountnumber acctnumber acctno acctnum accountno bankaccount bankaccountnumber bankacctno kontonummer routingnumber sortcode
		numerocuenta cuentabancaria numerocompte comptebancaire rib contocorrente contabancaria rekeningnummer bankkonto numeroconto numeroconta
		accountnum bic swiftcode clabe numerkonta kontobankowe kontonr bankrekening tilinumero pankkitili cislouctu bankovniucet cisloucet
		hesapno hesapnumarasi bankahesabi szamlaszam bankszamlaszam contbancar numarcont bankkontonummer bankverbindung`,
	SSN: `ssn socialsecurity socialsecuritynumber socsec ssnumber socialsecurityno itin`,
	TaxID: `taxid taxnumber taxpayerid tin steuerid steuernummer steueridnr identifikationsnummer umsatzsteuerid ustid ustidnr vatid vatnumber vatno vatreg
		numerofiscal numfiscal siret identifiantfiscal tvaintra nif partitaiva piva rfc ruc cuit cnpj contribuinte numerocontribuinte identificacionfiscal
		btwnummer btwid rsin fiscaalnummer nip numernip skattenummer momsnummer momsregnr verotunnus veronumero alvnumero dic danovecislo vergino
		verginumarasi vergikimlikno adoszam adoazonosito codfiscal cui ein taxreference`,
	Passport: `passport passportnumber passportno passportid reisepass reisepassnummer passeport pasaporte passaporto passaporte paspoort paspoortnummer paszport
		paszportu numerpaszportu passnummer pasnummer passnr passinnumero passi cislopasu pas pasaport pasaportno utlevel utlevelszam pasapoartului numarpasaport`,
	Licence: `driverlicense drivinglicence driverslicense driverlicence drivinglicense driverlicenseid licensenumber licenceno driverslicence
		fuehrerschein fuehrerscheinnummer fuhrerschein permisconduire numeropermis carnetconducir permisoconducir licenciaconducir patente patenteguida
		cartaconducao cnh carteirahabilitacao rijbewijs rijbewijsnummer prawojazdy korkort korkortsnummer koerekort korekort foererkort forerkort
		ajokortti ajokortinnumero ridicskyprukaz vodicskypreukaz ehliyet ehliyetno surucubelgesi jogositvany vezetoiengedely permisconducere`,
	Plate: `licenseplate licenceplate numberplate platenumber plateno vehiclereg vehicleregistration registrationplate kennzeichen kfzkennzeichen autokennzeichen
		immatriculation plaqueimmatriculation matricula placa placaveiculo targa kenteken kentekennummer numerrejestracyjny tablicarejestracyjna registreringsnummer regnummer
		nummerplade nummerskilt rekisterinumero rekisteritunnus spz ecv poznavaciznacka plaka plakano rendszam numarinmatriculare`,
	NationalID: `nationalid nationalidnumber nationalinsurance nationalinsurancenumber nino ninumber personalid personalnumber idcard idnumber identitynumber
		identitycard identityid voterid governmentid citizenid aadhaar
		aadhar pannumber nhsnumber nhs nhsno ausweisnummer ausweisnr personalausweis sozialversicherungsnummer svnr svnummer rentenversicherungsnummer
		nir numerosecu numerosecuritesociale securitesociale numsecu insee numsecuritesociale carteidentite dni nie curp nss cedula documentoidentidad
		codicefiscale codfiscale cartaidentita cpf rg bilheteidentidade cartaocidadao bsn burgerservicenummer sofinummer rijksregisternummer pesel
		dowod dowodosobisty numerdowodu personnummer personnr samordningsnummer cprnummer cpr cprnr fodselsnummer foedselsnummer personid henkilotunnus hetu
		rodnecislo cisloop obcanskyprukaz cnp codnumericpersonal tckimlik tckimlikno kimlikno szemelyiszam szemelyiigazolvany tajszam buletin serieci
		egn oib jmbg medicarenumber medicare insurancenumber mrn medicalrecordnumber patientid
		healthinsurancenumber krankenversicherungsnummer versichertennummer studentnumber matrikelnummer`,
	IP: `ip ipaddress ipaddr ipv clientip remoteip remoteaddr sourceip srcip loginip lastip userip adresseip direccionip peerip
		indirizzoip ipadresse ipadres signupip hostip visitorip enderecoip adresip adresaip`,
	MAC: `macaddress macaddr mac hwaddr wifimac bluetoothmac adressemac direccionmac indirizzomac enderecomac adresmac adresamac`,
	Device: `deviceid deviceuuid deviceidentifier advertisingid advertiserid idfa gaid aaid androidid imei imsi iccid meid udid installationid geraeteid geraetid geraetekennung
		idappareil identifiantappareil iddispositivo idaparelho toestelid apparaatid idurzadzenia enhetsid enhedsid enhetid laiteid laitetunnus idzarizeni
		cihazid eszkozid iddispozitiv browserfingerprint devicefingerprint visitorid`,
	BirthDate: `dob birthdate dateofbirth datebirth birthday birth bday born bornon birthdt geburtsdatum geburtstag gebdatum gebdat gebtag
		datenaissance datedenaissance naissance fechanacimiento fechadenacimiento nacimiento fecnac datanascita datadinascita
		nascita datanascimento datadenascimento nascimento geboortedatum geboorte dataurodzenia urodzenia fodelsedatum fodelsedag foedselsdato fodselsdato foedselsdag
		fodselsdag syntymaaika syntymapaiva datumnarozeni narozeni datumnarodenia dogumtarihi dogumgunu szuletesidatum szuletesiido szuletesnap
		datanasterii nasterii zilnastere dateofdeath`,
	Address: `streetaddress homeaddress postaladdress mailingaddress billingaddress shippingaddress deliveryaddress street streetname
		addressline addressl addr addrline street1 residence residentialaddress homeaddr strasse strassenname hausnummer anschrift
		wohnort wohnadresse lieferadresse rechnungsadresse postanschrift rue numerorue adressepostale adresselivraison domicile
		domicilio calle direccion direccionpostal indirizzo residenza endereco logradouro rua morada straat straatnaam
		huisnummer woonadres ulica adreszamieszkania adres gata adress gatuadress hemadress postadress postalcode postcode zipcode zip plz postleitzahl codepostal
		codigopostal cep kodpocztowy postnummer shipaddress billaddress bopael bopaelsadresse gade vejnavn gateadresse hjemmeadresse katuosoite kotiosoite postinumero
		postiosoite adresabydliste bydliste trvalebydliste ulicecislo psc evadresi ikametgah postakodu acikadres lakcim lakhely iranyitoszam utcahazszam
		adresadomiciliu domiciliu codpostal stradanumar adresse adressefacturation`,
	Salary: `salary wage wages income basesalary annualsalary compensation payrate grosspay netpay basepay hourlyrate bonus gehalt lohn einkommen
		jahresgehalt bruttogehalt nettogehalt verdienst salaire remuneration revenuannuel traitement salario salariobase sueldo nomina ingresos
		stipendio retribuzione remuneracao ordenado vencimento salaris loon brutoloon nettoloon inkomen pensja wynagrodzenie networth creditscore
		annualincome monthlyincome payroll lon manadslon arslon loen maanedsloen lonn arslonn palkka kuukausipalkka mzda hrubamzda ucret maasi fizetes jovedelem munkaber
		salariu salariubrut venit`,
	Health: `diagnosis diagnose diagnoses diagnostic diagnostico diagnosi diagnoza diagnostik icd icdcode icd10 medicalcondition illness disease disability medication
		medications prescription allergy allergies allergie alergia bloodtype bloodgroup
		blutgruppe groupesanguin gruposanguineo tiposanguineo grupposanguigno bloedgroep krankheit behinderung maladie handicap enfermedad
		malattia doenca ziekte schwangerschaft pregnant pregnancy hivstatus symptoms symptom medicalhistory medicalnotes
		choroba grupakrwi sjukdom sygdom sykdom blodgrupp blodtype sairaus diagnoosi veriryhma nemoc krevniskupina hastalik tani kangrubu betegseg vercsoport boala diagnostice
		grupasanguina bmi sickleave sickdays cholesterol bloodpressure healthcondition`,
	Belief: `religion religious faith ethnicity race ethnicorigin sexualorientation politicalparty politicalaffiliation konfession
		glaube ethnie origineethnique etnia orientationsexuelle orientacionsexual orientamentosessuale partido religione religiao
		religie geloof unionmembership gewerkschaft caste sexuality wyznanie religia trosbekannelse trossamfund trosretning religiositet uskonto uskontokunta
		nabozenstvi nabozenstvo vyznani vallas felekezet dini mezhep etnicitet narodnost cult`,
	Location: `latitude longitude lat lng geolocation geopoint gpscoordinates gps gpsposition homelocation homelat homelon homelng breitengrad laengengrad
		latitud longitud latitudine longitudine breedtegraad lengtegraad szerokoscgeograficzna dlugoscgeograficzna breddegrad laengdegrad lengdegrad
		leveysaste pituusaste zemepisnasirka zemepisnadelka enlem boylam szelesseg hosszusag szelessegifok hosszusagifok koordinaten coordonneesgps`,
	Username: `username login loginname userlogin screenname benutzername nutzername nomutilisateur identifiant nombreusuario
		nomeutente usuario gebruikersnaam skypeid twitterhandle telegram loginid nazwauzytkownika anvandarnamn brugernavn brukernavn kayttajatunnus
		uzivatelskejmeno kullaniciadi felhasznalonev numeutilizator`,
	JWT: `jwt idtoken jsonwebtoken`,
	Secret: `password passwd pwd passphrase passwordhash pwdhash pwhash passhash hashedpassword encryptedpassword passworddigest pwdigest userpwd
		secret clientsecret secretkey apikey apisecret accesstoken refreshtoken authtoken bearertoken sessiontoken privatekey
		accesskey secretaccesskey resettoken passwordresettoken otpsecret totpsecret mfasecret totp pin pincode securityanswer
		recoverycode recoverycodes passwort kennwort passworthash geheimnis motdepasse motpasse mdp contrasena clave clavesecreta parola
		parolachiave senha palavrapasse wachtwoord haslo losenord webhooksecret signingkey encryptionkey token apitoken tlskey tlskeypem sslkey
		sessionkey authsessionkey cookie credential credentials csrftoken devicetoken databaseurl dburl dsn connectionstring connstring connectionuri apischluessel cleapi claveapi chiaveapi chaveapi apisleutel kluczapi apinyckel
		apinoegle apiavain apiklic apianahtari apikulcs cheieapi salasana adgangskode passord heslo sifre jelszo parole`,
})

// weakNames need a table of people, or fitting content.
var weakNames = lexicon(map[Type]string{
	Person: `name nom nombre nome naam namn navn nazwa nimi nev isim adi ad meno author contact recipient sender owner holder manager employee customer patient
		person assignee agent driver passenger guest signer prenoms client kunde approver reviewer`,
	Address: `address city town stadt ville ciudad citta cidade stad miasto ort comuna location place region mesto sehir varos oras by kaupunki
		adresa adresi osoite cim strada`,
	Account:  `account konto compte cuenta conto conta rekening tili ucet hesap szamla cont`,
	Secret:   `key code hash signature`,
	Username: `handle user alias nick`,
	Health:   `condition treatment`,
	Belief:   `din`,
	Salary:   `maas`,
	Location: `lon position`,
})

// peopleTables make weak names in a table personal; thingTables make them about
// something else.
var peopleTables = set(`customer user employee patient person people member contact kunde kunden client clients cliente clientes
	mitarbeiter angestellte benutzer nutzer utilisateur utilisateurs usager personne personnes salarie salaries empleado empleados usuario
	usuarios persona personas paciente pacientes dipendente dipendenti utente utenti paziente pazienti funcionario funcionarios pessoa
	pessoas klant klanten medewerker medewerkers gebruiker gebruikers persoon personen patienten pracownik pracownicy klient klienci
	anvandare kund kunder medarbejder bruger brukere ansatte asiakas asiakkaat kayttaja tyontekija zakaznik zakaznici uzivatel zamestnanec musteri
	kullanici calisan hasta ugyfel felhasznalo alkalmazott angajat utilizator pacient
	student staff applicant candidate lead subscriber guest passenger driver tenant resident donor beneficiary recipient
	participant visitor profile crew teacher doctor nurse parent child contacts adherent adherents eleve abonne abonnes
	personal mitglied mitglieder lieferempfaenger anwender citizen voter prospect borrower insured policyholder holder caller guardian pupil
	author buyer seller hr payroll`)

var thingTables = set(`product products item category brand company companies vendor supplier country countries city cities region
	currency store shop warehouse department role permission setting settings config feature plan tag file document page menu
	project team organization organisation org firma firmen produkt produkte artikel entreprise societe produit produits
	producto productos empresa empresas azienda prodotto prodotti produto bedrijf producten event job queue campaign template
	service server host device location sku catalog catalogue course subject genre language unit color flag migration version`)

// nameOfThings stand before "name" when it is not that of a person: team_name.
var nameOfThings = set(`product item category brand company vendor supplier country city region currency store shop warehouse department role employer
	permission setting config feature plan tag file document page menu project team organization organisation org event job queue
	campaign template service server host device location sku catalog catalogue course subject genre language unit color colour flag version
	table column schema database db domain bucket topic class method function package module branch bank school field group channel rule
	street state county index node cluster host process program task step stage pipeline metric chart report dashboard view sensor
	drug medicine disease test procedure vehicle model make car ship vessel airline airport hotel room building station line route
	account key param parameter attribute property option image icon font theme style layout app application`)

func tableIs(words map[string]bool, table string) bool {
	for _, t := range tokens(table) {
		if words[t] || words[strings.TrimSuffix(t, "s")] {
			return true
		}
	}
	return false
}
