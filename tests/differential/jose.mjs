// Answer each input, a line of JSON, with "accepted" or the code of the error.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [, , folder, about] = process.argv;
const jose = createRequire(import.meta.url)(folder);
const { issuer, audience, keys } = JSON.parse(about);

const imported = {};
for (const [name, key] of Object.entries(keys)) {
  imported[name] =
    typeof key === "string" ? new TextEncoder().encode(key) : await jose.importJWK(key, name);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { token, algorithm, jwks } = JSON.parse(line);
  const rules = { algorithms: [algorithm], issuer, audience, requiredClaims: ["exp"], clockTolerance: 10 };
  try {
    const key = jwks ? jose.createLocalJWKSet(jwks) : imported[algorithm];
    await jose.jwtVerify(token, key, rules);
    console.log("accepted");
  } catch (error) {
    console.log(error.code ?? error.name);
  }
}
