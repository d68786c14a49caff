package policy

import _ "embed"

//go:embed builtin.yaml
var builtinYAML string

// BuiltinYAML is the built-in policy as a file, to be shown or to start one's own from.
func BuiltinYAML() string { return builtinYAML }

// Builtin are the rules that apply where no policy file does.
func Builtin() *Rules {
	r, err := Load("builtin.yaml", []byte(builtinYAML))
	if err != nil {
		return &Rules{} // refuses everything
	}
	for i := range r.List {
		r.List[i].BuiltIn = true
	}
	return r
}
