// A client of the Model Context Protocol that others wrote (the TypeScript SDK), for
// TestClientOfOthers. The first line of standard input says how to reach the server, each
// further one is a tool to call; each answer is a line. Its modules are in MCP_MODULES.
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const sdk = (file) => import(pathToFileURL(join(process.env.MCP_MODULES, 'node_modules/@modelcontextprotocol/sdk/dist/esm/client', file)).href);
const { Client } = await sdk('index.js');
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

let client;
for await (const line of createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line);
  try {
    if (!client) {
      client = new Client({ name: 'others', version: '1.0.0' });
      if (ask.url) {
        const { StreamableHTTPClientTransport } = await sdk('streamableHttp.js');
        await client.connect(new StreamableHTTPClientTransport(new URL(ask.url), { requestInit: { headers: { Authorization: 'Bearer ' + ask.secret } } }));
      } else {
        const { StdioClientTransport } = await sdk('stdio.js');
        await client.connect(new StdioClientTransport({ command: ask.command, args: ask.args, env: ask.env }));
      }
      const { tools } = await client.listTools();
      say({ server: client.getServerVersion(), instructions: client.getInstructions(), tools });
    } else {
      say(await client.callTool({ name: ask.tool, arguments: ask.arguments }));
    }
  } catch (error) {
    say({ thrown: String(error) });
  }
}
await client?.close();
