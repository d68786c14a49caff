// An OpenID provider that is not ours, for idp_test.go: one public native client, people
// who log in with any name, groups in the ID token, refresh tokens that work once.
// IDP_MODULES is where oidc-provider is installed.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const { default: Provider } = await import(pathToFileURL(process.env.IDP_MODULES + '/node_modules/oidc-provider/lib/index.js'));

const state = { ended: false, refreshed: 0 };
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'sluice', application_type: 'native', token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'], response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    scopes: ['openid', 'email', 'profile', 'groups', 'offline_access'],
    conformIdTokenClaims: false,
    cookies: { keys: ['only for a test'] },
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
    issueRefreshToken: (ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
    rotateRefreshToken: true,
    findAccount: (ctx, id) => state.ended ? undefined : {
      accountId: id,
      claims: () => ({ sub: id, name: id, email: `${id}@example.com`, email_verified: true, groups: ['dba', 'staff'] }),
    },
  });
  provider.on('grant.success', (ctx) => {
    if (ctx.oidc.params.grant_type === 'refresh_token') state.refreshed += 1;
  });
  const answer = provider.callback();
  server.on('request', (req, res) => {
    if (req.url === '/test/end') state.ended = true;
    if (req.url.startsWith('/test/')) return res.end(JSON.stringify(state));
    return answer(req, res);
  });
  console.log(issuer);
});
process.stdin.resume(); // ends with whoever started it
process.stdin.on('end', () => process.exit(0));
