package agentconf

import (
	"path/filepath"
)

// Client is a program that people use agents in, and how it is configured.
type Client struct {
	Name    string // as people give it
	Title   string // as it calls itself
	Restart string // what a person does for it to take note

	key     string // under which servers stand
	typed   bool   // an entry says that it is stdio
	format  format
	user    func(Place) string // the file for all of a person's projects
	project string             // the file in a project; "" if there is none
}

// Place is where a person's files are.
type Place struct {
	Home   string // their directory
	Config string // their configurations: ~/.config, ~/Library/Application Support, %AppData%
	System string // as runtime.GOOS has it
	Env    func(string) string
}

// File is the client's configuration: of the project in dir, or of the person if dir is
// empty. It is "" if the client has none of that kind.
func (c Client) File(p Place, dir string) string {
	if dir == "" {
		return c.user(p)
	}
	if c.project == "" {
		return ""
	}
	return filepath.Join(dir, filepath.FromSlash(c.project))
}

// Clients are those that we know, in the order they are listed.
func Clients() []Client {
	home := func(path string) func(Place) string {
		return func(p Place) string { return filepath.Join(p.Home, filepath.FromSlash(path)) }
	}
	config := func(path string) func(Place) string {
		return func(p Place) string { return filepath.Join(p.Config, filepath.FromSlash(path)) }
	}
	const again = "restart it"
	return []Client{
		{Name: "claude-code", Title: "Claude Code", Restart: "begin a new session", key: "mcpServers", typed: true, format: jsonFormat{}, user: claudeCode, project: ".mcp.json"},
		{Name: "claude-desktop", Title: "Claude Desktop", Restart: again, key: "mcpServers", format: jsonFormat{}, user: config("Claude/claude_desktop_config.json")},
		{Name: "codex", Title: "Codex", Restart: "begin a new session", key: "mcp_servers", format: tomlFormat{}, user: codex, project: ".codex/config.toml"},
		{Name: "cursor", Title: "Cursor", Restart: again, key: "mcpServers", format: jsonFormat{}, user: home(".cursor/mcp.json"), project: ".cursor/mcp.json"},
		{Name: "gemini", Title: "Gemini CLI", Restart: "begin a new session", key: "mcpServers", format: jsonFormat{}, user: home(".gemini/settings.json"), project: ".gemini/settings.json"},
		{Name: "vscode", Title: "Visual Studio Code", Restart: "start the server from the list of MCP servers", key: "servers", typed: true, format: jsonFormat{}, user: config("Code/User/mcp.json"), project: ".vscode/mcp.json"},
		{Name: "windsurf", Title: "Windsurf", Restart: again, key: "mcpServers", format: jsonFormat{}, user: home(".codeium/windsurf/mcp_config.json")},
		{Name: "zed", Title: "Zed", Restart: "nothing to do, it watches the file", key: "context_servers", format: jsonFormat{}, user: zed, project: ".zed/settings.json"},
	}
}

// claudeCode keeps a person's servers in one file beside its directory, or in the
// directory that a variable names.
func claudeCode(p Place) string {
	if dir := p.Env("CLAUDE_CONFIG_DIR"); dir != "" {
		return filepath.Join(dir, ".claude.json")
	}
	return filepath.Join(p.Home, ".claude.json")
}

func codex(p Place) string {
	if dir := p.Env("CODEX_HOME"); dir != "" {
		return filepath.Join(dir, "config.toml")
	}
	return filepath.Join(p.Home, ".codex", "config.toml")
}

// zed is at home in ~/.config, on macOS too.
func zed(p Place) string {
	if p.System == "darwin" {
		return filepath.Join(p.Home, ".config", "zed", "settings.json")
	}
	if p.System == "windows" {
		return filepath.Join(p.Config, "Zed", "settings.json")
	}
	return filepath.Join(p.Config, "zed", "settings.json")
}
