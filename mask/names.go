package mask

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Common given names and family names of several cultures, folded to lower-case
// letters without accents. A full name hits with either part.
const givenNameList = `
james mary john patricia robert jennifer michael linda william elizabeth david barbara richard susan joseph jessica thomas
sarah charles karen christopher nancy daniel lisa matthew betty anthony margaret mark sandra donald ashley steven kimberly
paul emily andrew donna joshua michelle kenneth carol kevin amanda brian melissa george deborah edward stephanie ronald
rebecca timothy laura jason sharon jeffrey cynthia ryan kathleen jacob amy gary shirley nicholas angela eric helen jonathan
anna stephen brenda larry pamela justin nicole scott samantha brandon katherine benjamin emma samuel ruth gregory christine
frank catherine alexander debra raymond rachel patrick carolyn jack janet dennis virginia jerry maria tyler heather aaron
diane jose julie adam joyce nathan victoria henry kelly douglas christina zachary lauren peter joan kyle evelyn walter
olivia ethan judith jeremy megan harold cheryl keith martha christian andrea roger frances noah hannah gerald jacqueline
carl ann terry gloria sean jean austin kathryn arthur alice lawrence teresa jesse sara dylan janice bryan doris joe madison
jordan julia billy grace bruce judy albert abigail willie marie gabriel denise logan beverly alan amber juan theresa wayne
marilyn roy danielle ralph brittany randy diana eugene natalie vincent sophia russell rose louis alexis philip kayla bobby
charlotte johnny isabella bradley ava mia harper liam mason lucas oliver elijah aiden jackson sebastian owen wyatt luke
isaac leo hugo oscar archie freddie alfie theo harry poppy isla freya ivy florence daisy phoebe lily ella chloe lucy ellie
hans peter klaus jurgen wolfgang dieter manfred uwe gunter stefan werner horst heinz bernd karl jens markus matthias ralf
sabine petra monika ursula renate brigitte ingrid helga gisela heike birgit katrin anja silke kerstin claudia ute gabriele
lukas leon finn jonas felix maximilian paula lena lea leonie johanna greta frieda mathilda heinrich friedrich otto fritz ilse
jean pierre michel andre philippe alain bernard jacques daniel patrick nicolas christophe laurent frederic sebastien julien
antoine guillaume mathieu thierry olivier pascal eric francois marie nathalie isabelle sylvie catherine francoise martine
christine monique valerie sandrine veronique celine aurelie camille manon lea chloe juliette margaux mathilde elodie claire
jose antonio manuel francisco juan javier carlos miguel alejandro rafael pedro angel pablo sergio fernando jorge alberto luis
alvaro diego raul carmen isabel dolores pilar teresa ana francisca laura antonia mercedes cristina marta elena lucia rosa
raquel sofia paula ines beatriz rocio alba irene nuria silvia montserrat esther ignacio gonzalo rodrigo santiago mateo emilio
giuseppe giovanni antonio mario luigi francesco angelo vincenzo pietro salvatore carlo franco domenico bruno paolo michele
giorgio aldo sergio luciano marco andrea luca matteo alessandro lorenzo davide simone federico riccardo stefano giulia chiara
francesca federica sara martina valentina alessia silvia elisa giorgia ilaria elena paola roberta simona daniela lucia
joao antonio paulo carlos jose francisco pedro lucas luiz marcos gabriel rafael daniel marcelo bruno eduardo felipe rodrigo
adriana juliana fernanda patricia aline sandra camila amanda bruna jessica leticia mariana beatriz larissa vanessa tiago
jan johannes pieter cornelis hendrik willem gerrit dirk sander daan sem bram thijs lars anouk sanne femke lotte fleur maud
jeroen joost maarten wouter ruben esmee saskia marieke annemarie wilhelmina adriana margriet
jan andrzej piotr krzysztof stanislaw tomasz pawel jozef marcin marek michal grzegorz jerzy tadeusz adam lukasz zbigniew
anna maria katarzyna malgorzata agnieszka krystyna barbara ewa elzbieta zofia teresa magdalena joanna janina monika danuta
erik lars karl anders per mikael johan olof nils gunnar sven fredrik maria elisabeth kristina margareta eva birgitta karin
linnea astrid ingrid elsa signe bjorn leif arne knut odd mette kirsten hanne inger soren rasmus niels mads jesper kasper
antti juhani mikko timo kari matti pekka jukka aino helmi sofia eino vaino sirkka
ivan dmitri sergei alexei andrei mikhail nikolai vladimir oleg igor yuri pavel boris viktor olga tatiana elena natalia irina
svetlana galina ludmila ekaterina anastasia ksenia oksana yulia daria polina taras bohdan oleksandr mykola
petr jiri jana eva hana lenka vera alena tomas jaroslav milan zdenek vaclav frantisek zuzana katarina istvan laszlo jozsef
zoltan sandor gyorgy ferenc gabor attila tamas katalin erzsebet ilona agnes zsuzsanna andrei mihai ion gheorghe elena ioana
mehmet mustafa ahmet ali huseyin hasan ibrahim ismail osman yusuf fatma ayse emine hatice zeynep elif meryem serife
mohammed muhammad ahmed omar khalid hassan hussein abdullah abdul youssef karim tariq samir rashid fatima aisha khadija
zainab maryam layla noor amina yasmin salma leila nadia rania imran bilal faisal hamza
raj rahul amit sanjay vijay ravi suresh ramesh rajesh anil sunil vikram arjun rohan aditya krishna priya anjali pooja neha
sunita kavita deepa lakshmi sita geeta divya ananya meera shreya nisha rekha asha arun manoj deepak ashok
wei fang min jing lei qiang yan hui ming ying jun li na hong xin yu tao chao ping gang mei xiao lin hao jie
hiroshi takashi kenji yuki akira satoshi naoki kazuo makoto haruto yuto sota yoko keiko sakura yumi aiko naomi haruka akiko
minjun seojun jiwoo jihoon minho sungho hyun jisoo minji yuna eunji soyeon nguyen thi anh linh huong thanh minh hoang tuan
kwame kofi kwesi ama akosua chidi chinedu emeka ngozi chioma oluwaseun adebayo femi tunde amara zuri thabo sipho nomsa
moshe yosef avraham sarah rivka yael noa tamar eitan itai dimitris giorgos kostas nikos yannis eleni katerina vasilis
ewan callum hamish fiona aoife siobhan niamh sinead padraig eoin ciara saoirse cillian declan rhys gareth dylan megan cerys
zoe ada max eva ida tom tim ben sam dan jim bob bill joe kate jane anne ellen nina tina eileen carla marta jill`

const familyNameList = `
smith johnson williams brown jones garcia miller davis rodriguez martinez hernandez lopez gonzalez wilson anderson thomas
taylor moore jackson martin lee perez thompson white harris sanchez clark ramirez lewis robinson walker young allen king
wright scott torres nguyen hill flores green adams nelson baker hall rivera campbell mitchell carter roberts gomez phillips
evans turner diaz parker cruz edwards collins reyes stewart morris morales murphy cook rogers gutierrez ortiz morgan cooper
peterson bailey reed kelly howard ramos kim cox ward richardson watson brooks chavez wood james bennett gray mendoza ruiz
hughes price alvarez castillo sanders patel myers long ross foster jimenez powell jenkins perry russell sullivan bell
coleman butler henderson barnes fisher vasquez simmons graham murray ford hamilton lovelace hopper turing byrne shaw davies
muller schmidt schneider fischer weber meyer wagner becker schulz hoffmann koch bauer richter klein wolf schroder neumann
schwarz zimmermann braun kruger hofmann hartmann lange schmitt werner krause lehmann schmid schulze maier kohler herrmann
konig walter mayer huber kaiser fuchs peters lang scholz moller weiss jung hahn schubert vogel friedrich keller gunther
mueller schroeder krueger koenig koehler moeller vogt winkler lorenz baumann albrecht ziegler
bernard dubois thomas robert richard petit durand leroy moreau simon laurent lefebvre michel garcia david bertrand roux
vincent fournier morel girard andre lefevre mercier dupont lambert bonnet francois martinez legrand garnier faure rousseau
blanc guerin muller henry roussel nicolas perrin morin mathieu clement gauthier dumont lopez fontaine chevalier robin
fernandez gonzalez alonso gutierrez navarro torres dominguez vazquez ramos gil ramirez serrano blanco molina morales suarez
ortega delgado castro ortiz rubio marin sanz nunez iglesias medina garrido cortes castillo santos lozano guerrero cano
rossi russo ferrari esposito bianchi romano colombo ricci marino greco bruno gallo conti de costa giordano mancini rizzo
lombardi moretti barbieri fontana santoro mariani rinaldi caruso ferrara galli martini leone longo gentile martinelli vitale
silva santos oliveira souza rodrigues ferreira alves pereira lima gomes costa ribeiro martins carvalho almeida lopes soares
fernandes vieira barbosa rocha dias nascimento andrade moreira nunes marques machado mendes freitas cardoso teixeira pinto
jong jansen vries berg bakker dijk visser smit meijer boer mulder groot bos vos hendriks dekker brouwer dijkstra smits graaf
meer linden kok jacobs haan vermeulen heuvel veen broek peeters janssens maes mertens willems claes
nowak kowalski wisniewski wojcik kowalczyk kaminski lewandowski zielinski szymanski wozniak dabrowski kozlowski jankowski
andersson johansson karlsson nilsson eriksson larsson olsson persson svensson gustafsson pettersson jonsson jansson hansson
hansen johansen olsen larsen andersen pedersen nilsen kristiansen jensen nielsen christensen rasmussen sorensen jorgensen
korhonen virtanen makinen nieminen makela hamalainen laine heikkinen koskinen jarvinen
ivanov smirnov kuznetsov popov vasiliev petrov sokolov mikhailov novikov fedorov morozov volkov alekseev lebedev semenov
egorov pavlov kozlov stepanov nikolaev orlov ivanova petrova shevchenko kovalenko bondarenko tkachenko
novak svoboda novotny dvorak cerny prochazka kucera vesely horak nemec nagy kovacs toth szabo horvath varga kiss molnar
popescu ionescu popa radu dumitru stan yilmaz kaya demir celik sahin yildiz yildirim ozturk aydin arslan dogan kilic
khan ali ahmed hussain malik shah sheikh rahman hassan ibrahim abbas saleh mansour haddad khoury nasser
sharma singh kumar gupta verma mishra reddy iyer nair rao joshi mehta desai kapoor chopra agarwal banerjee mukherjee das
wang li zhang liu chen yang huang zhao wu zhou xu sun ma zhu hu guo he lin gao luo zheng liang xie tang song deng han feng
sato suzuki takahashi tanaka watanabe ito yamamoto nakamura kobayashi kato yoshida yamada sasaki yamaguchi matsumoto inoue
park choi jung kang cho yoon jang lim tran le pham hoang phan vu vo dang bui do ngo okafor okonkwo adeyemi mensah owusu
boateng dlamini nkosi ndlovu mwangi otieno kamau cohen levy mizrahi peretz papadopoulos georgiou nikolaidis
oconnor obrien osullivan mccarthy oneill doherty gallagher kennedy lynch murray quinn mcdonald macdonald campbell fraser`

var (
	givenNames  = set(givenNameList)
	familyNames = set(familyNameList)
)

// maxNameWord is longer than any word of the lists, and bounds what is folded.
const maxNameWord = 24

// nameShape says whether b is one to four words of letters that begin with capitals,
// or are all capitals, as names are; words is their number. hits counts the words
// that the lists know, given names first.
func nameShape(b []byte) (words, given, family int, ok bool) {
	if len(b) < 3 || len(b) > 60 {
		return 0, 0, 0, false
	}
	for len(b) > 0 {
		end := bytes.IndexByte(b, ' ')
		word := b
		if end >= 0 {
			word, b = b[:end], b[end+1:]
		} else {
			b = nil
		}
		word = bytes.TrimRight(word, ",.")
		if len(word) == 0 || words == 5 {
			return words, given, family, false
		}
		if particle(word) {
			continue
		}
		g, f, fine := nameWord(word)
		if !fine {
			return words, given, family, false
		}
		words++
		given, family = given+g, family+f
	}
	return words, given, family, words > 0
}

func particle(w []byte) bool {
	switch string(w) {
	case "de", "da", "do", "dos", "di", "del", "della", "la", "le", "van", "von", "der", "den", "ter", "zu", "el", "al", "bin", "y", "e":
		return true
	}
	return false
}

// nameWord folds one word, hyphens and apostrophes taken as ends of parts.
func nameWord(w []byte) (given, family int, ok bool) {
	var room [maxNameWord]byte
	part := room[:0]
	look := func() {
		if givenNames[string(part)] {
			given = 1
		} else if familyNames[string(part)] {
			family = 1
		}
	}
	first := true
	for len(w) > 0 {
		r, n := utf8.DecodeRune(w)
		w = w[n:]
		switch {
		case r == '-' || r == '\'' || r == '’':
			if r == '-' {
				look()
				part = room[:0]
			}
			continue
		case r < 0x80 && !isLetter(byte(r)), r == utf8.RuneError:
			return 0, 0, false
		case first && r < 0x80 && r >= 'a':
			return 0, 0, false
		}
		first = false
		if len(part)+2 > maxNameWord {
			return 0, 0, false
		}
		if r < 0x80 {
			part = append(part, byte(r)|0x20)
			continue
		}
		part = append(part, foldRune(r)...)
	}
	look()
	return given, family, !first
}

func foldRune(r rune) string {
	if s, ok := folds[r]; ok {
		return s
	}
	if s, ok := folds[r+0x20]; ok && r < 0x100 { // capitals of Latin-1
		return s
	}
	if s, ok := folds[r+1]; ok { // capitals of Latin Extended-A stand before their small letters
		return s
	}
	return ""
}

// isFullName says whether a value is nothing but a given name and a family name that
// the lists know. One of them alone is too often a word.
func isFullName(b []byte) bool {
	if len(b) < 5 || len(b) > 50 || bytes.IndexByte(b, ' ') < 2 {
		return false
	}
	words, given, family, ok := nameShape(b)
	return ok && words >= 2 && words <= 4 && given+family >= 2 && given >= 1 && !namesCompany(string(b))
}

// companyWords end the names of companies and places, which look like names of people.
var companyWords = set(`inc ltd llc gmbh ag sa srl spa bv nv ab oy plc corp co group company holding partners and sons
	street road avenue lane drive st rd ave city town park bridge hill gate mill square station hotel university college school hospital club bank store shop`)

func namesCompany(s string) bool {
	for _, w := range strings.Fields(strings.ToLower(s)) {
		if companyWords[strings.Trim(w, ".,&")] || w == "&" {
			return true
		}
	}
	return false
}
