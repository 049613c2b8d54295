// Sends the chosen request and shows the answer as text, never as HTML.
"use strict";

const element = (id) => document.getElementById(id);
const say = (id, text) => { element(id).textContent = text || "none"; };
let tokens = {};

const picked = () => tokens[element("token").value] || "";
const short = (token) => `${token.slice(0, 12)}…${token.slice(-6)}`;

const credentials = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

// Not decoded here: these are the claims that the server gives to an endpoint.
async function showClaims() {
  const token = picked();
  const response = await fetch("/demo/claims", { headers: credentials(token), cache: "no-store" });
  const text = await response.text();
  if (token !== picked()) return; // another token was chosen meanwhile
  say("claims", response.ok ? JSON.stringify(JSON.parse(text), null, 2) : `none: refused with ${response.status}`);
}

// `side` is "" for the chosen request and "other-" for the one beside it.
function answer(side, status, challenge, body) {
  say(`${side}status`, status);
  say(`${side}challenge`, challenge);
  say(`${side}body`, body);
  element(`${side}answer`).className = /^[12]/.test(status) ? "accepted" : status && "refused";
  if (!side) {
    say("other-sent", "nothing yet");
    answer("other-", "", "", "");
  }
}

async function ask(side, method, path, token, cookies = "same-origin") {
  const headers = credentials(token);
  let body;
  if (method === "POST" && path === "/notes") {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify({ text: "Buy milk" });
  }
  say(`${side}sent`, `${method} ${path}${token ? `\nAuthorization: Bearer ${short(token)}` : ""}${body ? `\n\n${body}` : ""}`);
  const response = await fetch(path, { method, headers, body, cache: "no-store", credentials: cookies });
  answer(side, String(response.status), response.headers.get("WWW-Authenticate"), await response.text());
  return response.ok;
}

async function send(method, path) {
  try {
    const accepted = await ask("", method, path, picked());
    await ask("other-", method, path, accepted ? "" : tokens[administrator()], "omit");
  } catch {
    unreachable();
  }
}

const administrator = () => Object.keys(tokens).find((name) => name.includes("admin"));
const logIn = () => ask("", "POST", "/login", picked());
const logOut = () => ask("", "POST", "/logout", "");

function talk() {
  const token = picked();
  say("sent", token ? `WebSocket /ws\nSec-WebSocket-Protocol: bearer, ${short(token)}` : "WebSocket /ws");
  const url = `${location.origin.replace(/^http/, "ws")}/ws`;
  const socket = token ? new WebSocket(url, ["bearer", token]) : new WebSocket(url);
  const heard = [];
  socket.onopen = () => socket.send("ping");
  socket.onmessage = ({ data }) => {
    heard.push(data);
    if (heard.length === 2) {
      answer("", "101", "", heard.join("\n"));
      socket.close();
    }
  };
  // A browser does not show a page the status of a refused handshake.
  socket.onerror = () => answer("", "refused", "", "the handshake was refused");
}

element("request").addEventListener("submit", (event) => {
  event.preventDefault();
  send(...element("route").value.split(" "));
});
const unreachable = () => answer("", "no answer", "", "the demo cannot be reached");
const refreshClaims = () => showClaims().catch(unreachable);
element("token").addEventListener("change", refreshClaims);
element("login").addEventListener("click", () => logIn().then(refreshClaims).catch(unreachable));
element("logout").addEventListener("click", () => logOut().then(refreshClaims).catch(unreachable));
element("websocket").addEventListener("click", talk);

async function start() {
  tokens = await (await fetch("/demo/tokens", { cache: "no-store" })).json();
  element("token").replaceChildren(...Object.keys(tokens).map((name) => new Option(name)));
  element("choices").disabled = false; // not before: the buttons need the tokens
  await showClaims();
}
start().catch(unreachable);
