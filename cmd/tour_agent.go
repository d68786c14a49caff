package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sluicehq/sluice/api"
	"github.com/sluicehq/sluice/client"
	"github.com/sluicehq/sluice/identity"
	"github.com/sluicehq/sluice/mcp"
)

// pollTime is between two looks at whether something has come.
const pollTime = 20 * time.Millisecond

// agent plays a model that acts for Ada through the tools of sluice mcp.
func (t *tourist) agent(ctx context.Context) error {
	fmt.Fprintln(t.out, "   ada$ sluice mcp install claude-code --connection orders --writes")
	tools, end, err := t.tools(ctx)
	if err != nil {
		return err
	}
	defer end()
	refused, err := t.call(ctx, tools, "query", map[string]any{"connection": "orders", "sql": "select id from customers where email like 'a%'"})
	if err != nil || !strings.HasPrefix(refused, "Refused by rule ") {
		return fmt.Errorf("an agent searched in personal data: %s %w", refused, err)
	}
	t.answer("%s", refused)
	const sql = "update orders set status = 'cancelled' where id = $1"
	held, err := t.call(ctx, tools, "execute", map[string]any{"connection": "orders", "sql": sql, "params": []any{43}, "reason": "the customer asked in ticket 8"})
	if err != nil || !strings.Contains(held, "waits for approval") {
		return fmt.Errorf("what an agent writes did not wait: %s %w", held, err)
	}
	first, _, _ := strings.Cut(held, ". ")
	t.answer("%s.", first)
	if err := t.approveNext(ctx, "ticket 8 says so", nil); err != nil {
		return err
	}
	id := ""
	for _, word := range strings.Fields(held) {
		if word = strings.Trim(word, ",.;"); strings.HasPrefix(word, "s-") {
			id = word
		}
	}
	told, err := t.call(ctx, tools, "statement_status", map[string]any{"statement_id": id, "wait_seconds": 20})
	if err != nil {
		return err
	}
	if status, err := t.truth(ctx, "select status::text from orders where id = 43"); err != nil || status != "cancelled" {
		return fmt.Errorf("the order is %q after %q: %w", status, told, err)
	}
	t.answer("%s", told)
	t.why("the record has both names: the agent's and Ada's, whose rights are the most it has")
	return nil
}

// tools starts what sluice mcp starts, and a client of it.
func (t *tourist) tools(ctx context.Context) (*sdk.ClientSession, func(), error) {
	store := client.NewStore(filepath.Join(t.w.dir, ada.Email), t.now)
	have, err := store.Load(t.w.gateway)
	if err != nil {
		return nil, nil, err
	}
	want := api.TokenRequest{Kind: string(identity.Agent), Name: "claude", Connections: []string{"orders"}, Writes: true}
	d := &client.Delegate{Store: store, Gateway: have.Gateway, Want: want}
	gw, err := client.OpenJob(ctx, client.JobOptions{Gateway: have.Gateway, Ambient: d.Ambient(), Trust: have.Trust, Now: t.now})
	if err != nil {
		return nil, nil, err
	}
	server, err := mcp.New(ctx, mcp.Config{Gateway: gw, Version: buildVersion(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: t.now})
	if err != nil {
		gw.Close()
		return nil, nil, err
	}
	mine, its := sdk.NewInMemoryTransports()
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1) // one result, read at the end
	go func() { done <- server.Run(serving, its) }()
	session, err := sdk.NewClient(&sdk.Implementation{Name: "demo"}, nil).Connect(ctx, mine, nil)
	end := func() {
		if session != nil {
			session.Close()
		}
		stop()
		<-done
		server.Close()
		gw.Close()
		_ = d.End(context.WithoutCancel(ctx)) // everything is removed at the end
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return session, end, nil
}

// call calls a tool and shows how.
func (t *tourist) call(ctx context.Context, tools *sdk.ClientSession, name string, args map[string]any) (string, error) {
	shown, err := json.Marshal(args)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(t.out, "   claude > %s %s\n", name, shown)
	res, err := tools.CallTool(ctx, &sdk.CallToolParams{Name: name, Arguments: args})
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, c := range res.Content {
		if c, ok := c.(*sdk.TextContent); ok {
			text.WriteString(c.Text)
		}
	}
	return text.String(), nil
}
