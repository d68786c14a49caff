package specimen

func people(given, family string) culture {
	return culture{given: some(given), family: some(family)}
}

// Tuning is what rules and thresholds may be fitted to.
var Tuning = Set{
	name:      "tuning",
	languages: []string{"de", "fr", "es", "it"},
	cultures: []culture{
		people("James Emma Oliver Charlotte Harry Grace Jack Lucy Noah Ella", "Smith Walker Bennett Hughes Carter Foster Gray Ellis Webb Hunt"),
		people("Lukas Hannah Jürgen Anke Stefan Birgit Uwe Katrin Jonas Heike", "Müller Schäfer Brandt Voigt Lorenz Haas Kühn Albers Petersen Seidel"),
		people("Camille Julien Océane Thierry Élodie Benoît Margaux Rémi Chloé Yves", "Lefèvre Girard Marchand Renaud Colin Picard Aubert Meunier Hubert Roche"),
		people("Lucía Álvaro Carmen Iker Paula Sergio Rocío Hugo Nuria Raúl", "Gómez Herrera Campos Vega Cabrera Fuentes Pascual Gallego Soler Reyes"),
		people("Chiara Matteo Federica Alessandro Ilaria Davide Elisa Simone Marta Luca", "Ferraro Bellini Sartori Fiore Pellegrini Riva Serra Villa Monti Gatti"),
		people("Rahul Priya Arjun Ananya Vikram Neha Sanjay Pooja Karan Divya", "Bhatt Chauhan Pillai Menon Saxena Kulkarni Bose Trivedi Naidu Malhotra"),
	},
	schemas: []schema{
		{"shop", some("customers orders_contacts subscribers"), some("products carts shipments coupons")},
		{"hr", some("employees applicants"), some("devices contracts projects")},
		{"crm", some("contacts leads"), some("campaigns pipelines assets")},
	},
	prose: list("The parcel arrived late and the box was damaged|Customer asked for a refund of the delivery fee|We moved the meeting to Thursday afternoon|" +
		"Please check the invoice before it is sent|The new release fixes the export of large reports|Battery lasts about nine hours in normal use|" +
		"Nothing else was said during the call|A second engineer will look at it tomorrow|Der Termin wurde auf nächste Woche verschoben|La livraison est prévue pour lundi"),
	keys:    [][2]string{{"first_name", "retries"}, {"phone", "points"}, {"password", "x"}},
	domains: some("example.com mail.example.org acme.de shop.example.fr post.example.net"),
	streets: list("%d %s Street|%d %s Avenue|%sstraße %d|Calle %s %d|Via %s %d|Rue %s %d"),
	places:  some("Oak Berg Garibaldi Mayor Linden Hill Castle Station Church Garden"),
	honest:  honestOf(0),
}

// Judging is what figures are published on.
var Judging = Set{
	name:      "judging",
	languages: []string{"pt", "nl", "pl", "sv", "da", "fi", "cs", "tr", "hu", "ro"},
	strange:   []string{"et", "id"},
	cultures: []culture{
		people("Thiago Beatriz Rafaela Gonçalo Inês Caio Letícia Duarte Vitória Leandro Marisa Tomé", "Figueiredo Bragança Quaresma Pacheco Sampaio Valente Arruda Peixoto Tavares Bezerra Coutinho Siqueira"),
		people("Sjoerd Femke Joost Maaike Bram Anouk Teun Lieke Wouter Sanne Jeroen Marijke", "Hoekstra Verbeek Schouten Kuipers Postma Wiersma Bosman Terpstra Blom Vink Hermans Zijlstra"),
		people("Zbigniew Agnieszka Grzegorz Małgorzata Krzysztof Bożena Wojciech Jadwiga Tomasz Ewelina Sławomir Kinga", "Zając Wróbel Pawlak Sikora Baran Duda Szewczyk Tomaszewski Pietrzak Wróblewski Jasiński Sobczak"),
		people("Torbjörn Ulrika Göran Annika Håkan Linnea Rasmus Ebba Mårten Solveig Freja Mads", "Lindqvist Bergström Åkesson Sjöberg Holm Nyström Dahlgren Kjær Mortensen Thomsen Ekström Bjerre"),
		people("Aino Veikko Eevi Jukka Tuula Pekka Sirpa Antti Riikka Heikki Päivi Onni", "Lehtonen Saarinen Rantanen Salonen Heinonen Tuominen Salmi Karjalainen Ahonen Laitinen Kallio Pulkkinen"),
		people("Zdeněk Ludmila Miloslav Květoslava Radek Bohumila Vojtěch Šárka Oldřich Blanka Přemysl Jiřina", "Kopecký Urban Říha Beneš Havlíček Zeman Sedláček Kolář Jelínek Vaněk Bartoš Musil"),
		people("Cem Elif Burak Zeynep Emre Ayşegül Serkan Gülşen Hakan Nihal Tolga Sevgi", "Özdemir Korkmaz Erdoğan Aksoy Çetin Polat Bulut Güneş Tekin Avcı Keskin Yalçın"),
		people("Gergely Boglárka Zsolt Réka Balázs Orsolya Ádám Csilla Bence Emese Attila Ildikó", "Farkas Balogh Papp Juhász Lakatos Takács Mészáros Simon Fekete Oláh Szűcs Pintér"),
		people("Andrei Ioana Cătălin Mihaela Sorin Raluca Bogdan Simona Vlad Corina Doina Răzvan", "Dragomir Stoica Munteanu Diaconu Oprea Constantinescu Dobre Barbu Nistor Florea Ungureanu Toma"),
		people("Adaeze Chukwuemeka Folake Babatunde Ngozi Oluwaseun Amara Kelechi Yetunde Tobenna Ifeoma Segun", "Eze Balogun Nwosu Adebayo Obi Ogunleye Chukwu Akande Uche Olawale Nnamdi Afolabi"),
		people("Minh Thảo Quang Lan Tuấn Hương Đức Mai Khoa Ngọc Linh Phong", "Nguyễn Lý Trịnh Đinh Đoàn Lương Mạc Tạ Hồ Cao Lâm Quách"),
		people("Putri Agus Dewi Budi Siti Rizky Ayu Bambang Wulan Hendra Ratna Joko", "Santoso Wijaya Hidayat Saputra Nugroho Lestari Setiawan Kusuma Pratama Siregar Utami Gunawan"),
		people("Eleni Kostas Despina Nikos Vasiliki Giorgos Katerina Panagiotis Sofia Dimitra Spyros Fotini", "Papadakis Vlachos Karagiannis Oikonomou Alexiou Makris Dimitriou Katsaros Angelopoulos Pappas Samaras Zervas"),
		people("Layla Omar Noura Tariq Hind Khalid Salma Yusuf Rania Faisal Dina Walid", "Al-Farsi Najjar Khalil Qasim Darwish Hamdan Sabbagh Nasrallah Aziz Barakat Mahfouz Shaheen"),
		people("Nino Giorgi Tamar Levan Ketevan Zurab Mariam Davit Ana Irakli Lela Vakhtang", "Beridze Kapanadze Gelashvili Maisuradze Lomidze Tsiklauri Kiknadze Chkheidze Japaridze Bolkvadze Giorgadze Mchedlishvili"),
		people("Ирина Дмитрий Светлана Алексей Оксана Тарас Надежда Богдан Людмила Артём Галина Кирилл", "Кравченко Белов Гончаров Мельник Зайцев Орлов Ткаченко Лысенко Борисов Титова Макаров Савченко"),
		{given: some("伟 芳 娜 静 敏 建国 秀英 丽 强 磊 洋 艳"), family: some("王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙"), joined: true},
	},
	schemas: []schema{
		{"clinic", some("patients nurses next_of_kin_persons"), some("wards equipment appointments")},
		{"telco", some("account_holders callers users"), some("towers tariffs outages")},
		{"school", some("students teachers guardians"), some("courses rooms timetable")},
		{"bank", some("clients borrowers"), some("branches ledgers instruments")},
	},
	prose: list("Router was rebooted after the storm and works again|The lecture hall has new projectors since March|Ward round postponed until the lab results are in|" +
		"Tariff change takes effect at the beginning of next month|Borrower needs another copy of the statement|Mast four lost power for eleven minutes|" +
		"Pupils may bring a calculator to the exam|Zustellung war wegen Umbau nicht möglich|De monteur komt tussen tien en twaalf uur|Rachunek został wysłany pocztą|" +
		"Dosage to be reviewed at the next visit|No further complaints about the line were made"),
	keys:    [][2]string{{"surname", "backoff"}, {"mobile_number", "histogram"}, {"client_secret", "y"}},
	domains: some("clinica.pt ziekenhuis.nl poczta.pl skola.se telco.example posta.com.tr kolej.cz kereskedo.hu spital.ro mail.co.uk"),
	streets: list("Rua %s %d|%slaan %d|%sstraat %d|ul. %s %d|%sgatan %d|%svej %d|%skatu %d|%s Caddesi No %d|%s utca %d|Strada %s %d|%d %s Road|%d %s Lane|%d %s Crescent"),
	places:  some("Flores Beatrix Mickiewicza Kungs Skov Manner Atatürk Petőfi Unirii Willow Mill Harbour Kossuth Lipowa Nova"),
	honest:  honestOf(1),
}
