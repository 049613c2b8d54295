// npm's oidc-provider on loopback: node server.mjs PORT KEYS_FILE
//
// KEYS_FILE is a JWK Set of private keys; the first that fits an algorithm signs, all are published.
// When it listens, the server prints {"port": ..., "issuer": ...} on a line of its own.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { Provider, errors } from "oidc-provider";

const [port, keysFile] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const OPAQUE = "https://opaque.example.com"; // its tokens are no JWTs
const RESOURCES = ["https://api.example.com", "https://billing.example.com", OPAQUE];

const APP = {
  application_type: "native",
  token_endpoint_auth_method: "none",
  grant_types: ["authorization_code"],
  response_types: ["code"],
  redirect_uris: ["http://127.0.0.1/callback"],
};

const provider = new Provider(issuer, {
  jwks: JSON.parse(readFileSync(keysFile)),
  clients: [
    { ...APP, client_id: "app" },
    { ...APP, client_id: "docs", redirect_uris: ["http://127.0.0.1/docs/oauth2-redirect"] }, // Swagger UI
    { ...APP, client_id: "app-es256", access_token_signed_response_alg: "ES256" },
    {
      client_id: "worker",
      client_secret: "worker-secret",
      access_token_signed_response_alg: "ES256",
      grant_types: ["client_credentials"],
      response_types: [],
      redirect_uris: [],
    },
  ],
  extraClientMetadata: { properties: ["access_token_signed_response_alg"] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  scopes: ["openid", "offline_access", "read:items", "write:items"], // a client may register for
  pkce: { required: () => true },
  // Swagger UI asks for tokens from a page, and names no resource when it does.
  clientBasedCORS: (_, origin, client) => client.clientId === "docs" && /^http:\/\/127\.0\.0\.1:\d+$/.test(origin),
  features: {
    registration: { enabled: true }, // clients that nobody has told it about (RFC 7591)
    devInteractions: { enabled: true }, // the forms for login and consent
    clientCredentials: { enabled: true },
    introspection: { enabled: true }, // RFC 7662
    resourceIndicators: {
      enabled: true,
      useGrantedResource: (ctx) => ctx.oidc.client.clientId === "docs",
      getResourceServerInfo: (_, resource, client) => {
        const loopback = /^http:\/\/127\.0\.0\.1:\d+\/mcp$/.test(resource); // tests/mcp
        if (!RESOURCES.includes(resource) && !loopback) throw new errors.InvalidTarget();
        return {
          scope: "read:items write:items",
          audience: resource,
          accessTokenTTL: 3600,
          accessTokenFormat: resource === OPAQUE ? "opaque" : "jwt",
          jwt: { sign: { alg: client.access_token_signed_response_alg ?? "RS256" } },
        };
      },
    },
  },
});

provider.listen(Number(port), "127.0.0.1", () => {
  console.log(JSON.stringify({ port: Number(port), issuer }));
});
