// What does the page do? It sends what was picked, and shows the answer as text, never as HTML.
"use strict";

const element = (id) => document.getElementById(id);
const say = (id, text) => { element(id).textContent = text || "none"; };
let tokens = {};

const picked = () => tokens[element("token").value] || "";
const short = (token) => `${token.slice(0, 12)}…${token.slice(-6)}`;

function showClaims() {
  const payload = picked().split(".")[1];
  if (!payload) return say("claims", "");
  const bytes = Uint8Array.from(atob(payload.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  say("claims", JSON.stringify(JSON.parse(new TextDecoder().decode(bytes)), null, 2));
}

function answer(status, challenge, body) {
  say("status", status);
  say("challenge", challenge);
  say("body", body);
}

async function send(method, path, token = picked()) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
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
    answer("no answer", "", "the demo cannot be reached");
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
  // A browser does not tell a page the status with which a handshake was refused.
  socket.onerror = () => answer("refused", "", "the handshake was refused");
}

element("request").addEventListener("submit", (event) => {
  event.preventDefault();
  send(...element("route").value.split(" "));
});
element("token").addEventListener("change", showClaims);
element("login").addEventListener("click", () => send("POST", "/login"));
element("logout").addEventListener("click", () => send("POST", "/logout", ""));
element("websocket").addEventListener("click", talk);

async function start() {
  tokens = await (await fetch("/demo/tokens", { cache: "no-store" })).json();
  element("token").replaceChildren(...Object.keys(tokens).map((name) => new Option(name)));
  showClaims();
}
start().catch(() => answer("no answer", "", "the demo cannot be reached"));
