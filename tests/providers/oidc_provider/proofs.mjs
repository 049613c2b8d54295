// npm's dpop as a client has it: node proofs.mjs ALGORITHM
//
// It makes a key pair and prints {"thumbprint": ...}. Each line that it is given,
// {"htu", "htm", "nonce"?, "token"?}, is answered with a proof on a line of its own.
import { createInterface } from "node:readline";
import { calculateThumbprint, generateKeyPair, generateProof } from "dpop";

const keys = await generateKeyPair(process.argv[2]);
console.log(JSON.stringify({ thumbprint: await calculateThumbprint(keys.publicKey) }));
for await (const line of createInterface({ input: process.stdin })) {
  const { htu, htm, nonce, token } = JSON.parse(line);
  console.log(await generateProof(keys, htu, htm, nonce, token));
}
