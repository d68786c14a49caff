package query

import "github.com/multigres/multigres/go/common/parser"

// Place is where a text names something to be put in: :name for a value, :"name" for
// an identifier, as psql writes its variables. Casts (::) and texts in quotes are none.
type Place struct {
	At, End int // bytes of the text, the colon included
	Name    string
	Quoted  bool // :"name"
}

// Places finds what a text names, and says of each $1 where it stands. Tokens are those
// of PostgreSQL's own lexer. ok is false if the text cannot be read to its end.
func Places(sql string) (list []Place, numbered []int, ok bool) {
	if refuse(sql) != "" {
		return nil, nil, false
	}
	defer func() {
		if v := recover(); v != nil {
			list, numbered, ok = nil, nil, false
		}
	}()
	tokens, whole := lex(sql)
	if !whole {
		return nil, nil, false
	}
	for i, t := range tokens {
		switch {
		case t.kind == parser.PARAM:
			numbered = append(numbered, t.at)
		case t.kind == ':' && i+1 < len(tokens) && tokens[i+1].at == t.at+1:
			if p, named := placeAt(sql, t.at); named {
				list = append(list, p)
			}
		}
	}
	return list, numbered, true
}

// placeAt reads the name behind a colon.
func placeAt(sql string, at int) (p Place, ok bool) {
	p = Place{At: at, End: at + 1}
	if p.Quoted = sql[p.End] == '"'; p.Quoted {
		p.End++
	}
	from := p.End
	for p.End < len(sql) && (sql[p.End] == '_' || 'a' <= sql[p.End]|0x20 && sql[p.End]|0x20 <= 'z' || p.End > from && '0' <= sql[p.End] && sql[p.End] <= '9') {
		p.End++
	}
	p.Name = sql[from:p.End]
	if p.Quoted {
		if p.End == len(sql) || sql[p.End] != '"' {
			return p, false
		}
		p.End++
	}
	return p, p.Name != ""
}
