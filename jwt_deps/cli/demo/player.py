"""What did happen? The scenario, played over real HTTP and real WebSockets."""

import json
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx2
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from jwt_deps.jose import encode_base64url

from .scenario import WEBSOCKET, Answer, Step
from .tokens import demo_tokens, make_secret

__all__ = ["Outcome", "play"]

_PATIENCE = 10  # seconds
_TELLING = ("sec-websocket-protocol", "set-cookie", "www-authenticate")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step and the answer that it got."""

    step: Step
    got: Answer

    @property
    def ok(self) -> bool:
        """Whether the answer is the expected one, to the letter."""
        return self.got == self.step.expected


def play(steps: Iterable[Step], url: str, tokens: Mapping[str, str]) -> list[Outcome]:
    """Send every request to the API at the URL, as one browser would, in order."""
    tokens = {**tokens, **_bad_tokens()}
    # `trust_env`: a proxy of the environment does not lead to this machine's own loopback.
    with httpx2.Client(base_url=url, timeout=_PATIENCE, trust_env=False) as client:
        return [Outcome(step, _answer(client, step, tokens)) for step in steps]


def _bad_tokens() -> dict[str, str]:
    forged = demo_tokens(make_secret())["user"]
    _, payload, _ = forged.split(".")
    header = encode_base64url(b'{"alg":"none"}')
    return {"nonsense": "nonsense", "unsigned": f"{header}.{payload}.", "forged": forged}


def _answer(client: httpx2.Client, step: Step, tokens: Mapping[str, str]) -> Answer:
    sent = [tokens[name] for name in step.tokens]
    try:
        if step.method == WEBSOCKET:
            return _talk(client, step, sent)
        return _request(client, step, sent)
    except (httpx2.HTTPError, WebSocketException, OSError) as error:
        return Answer(0, f"no answer: {type(error).__name__}")


def _request(client: httpx2.Client, step: Step, tokens: list[str]) -> Answer:
    headers = [*step.headers.items(), *(("Authorization", f"Bearer {it}") for it in tokens)]
    response = client.request(step.method, step.path, headers=headers, json=step.json)
    return Answer(response.status_code, _body(response.text), _telling(response.headers))


def _talk(client: httpx2.Client, step: Step, tokens: list[str]) -> Answer:
    url = client.base_url
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    headers = {**step.headers, **({"Cookie": cookies} if cookies else {})}
    pair = [Subprotocol(text) for token in tokens for text in ("bearer", token)]
    try:
        with (
            # A socket of ours, because the client would ask the environment for a proxy.
            socket.create_connection((url.host, url.port), timeout=_PATIENCE) as connection,
            connect(
                f"ws://{url.netloc.decode()}{step.path}",
                sock=connection,
                subprotocols=pair or None,
                additional_headers=headers,
                open_timeout=_PATIENCE,
            ) as websocket,
        ):
            websocket.send("ping")
            said = [websocket.recv(_PATIENCE), websocket.recv(_PATIENCE)]
            chosen = websocket.subprotocol
            return Answer(101, said, {"sec-websocket-protocol": chosen} if chosen else {})
    except InvalidStatus as refused:
        response = refused.response
        body = _body((response.body or b"").decode())
        return Answer(response.status_code, body, _telling(response.headers))


def _body(text: str) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def _telling(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that a step may expect, the token and the moment taken out of the cookie."""
    found = {name: headers[name] for name in _TELLING if name in headers}
    if "set-cookie" in found:
        cookie = re.sub(r"=eyJ[\w.-]+", "=...", found["set-cookie"])
        parts = re.sub(r"Max-Age=[1-9]\d*", "Max-Age=...", cookie).split("; ")
        kept = (part for part in parts[1:] if not part.startswith("expires="))
        found["set-cookie"] = "; ".join((parts[0], *sorted(kept)))
    return found
