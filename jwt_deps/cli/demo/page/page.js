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

function answer(status, challenge, body) {
  say("status", status);
  say("challenge", challenge);
  say("body", body);
}

async function send(method, path, token = picked()) {
  const headers = credentials(token);
  let body;
  if (method === "POST" && path === "/notes") {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify({ text: "Buy milk" });
  }
  say("sent", `${method} ${path}${token ? `\nAuthorization: Bearer ${short(token)}` : ""}${body ? `\n\n${body}` : ""}`);
  try {
    const response = await fetch(path, { method, headers, body, cache: "no-store" });
    answer(String(response.status), response.headers.get("WWW-Authenticate"), await response.text());
  } catch {
    unreachable();
  }
}

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
      answer("101", "", heard.join("\n"));
      socket.close();
    }
  };
  // A browser does not show a page the status of a refused handshake.
  socket.onerror = () => answer("refused", "", "the handshake was refused");
}

element("request").addEventListener("submit", (event) => {
  event.preventDefault();
  send(...element("route").value.split(" "));
});
const unreachable = () => answer("no answer", "", "the demo cannot be reached");
const refreshClaims = () => showClaims().catch(unreachable);
element("token").addEventListener("change", refreshClaims);
element("login").addEventListener("click", () => send("POST", "/login").then(refreshClaims));
element("logout").addEventListener("click", () => send("POST", "/logout", "").then(refreshClaims));
element("websocket").addEventListener("click", talk);

async function start() {
  tokens = await (await fetch("/demo/tokens", { cache: "no-store" })).json();
  element("token").replaceChildren(...Object.keys(tokens).map((name) => new Option(name)));
  element("choices").disabled = false; // not before: the buttons need the tokens
  await showClaims();
}
start().catch(unreachable);
