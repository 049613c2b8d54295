"""Run the scenario over HTTP and WebSockets."""

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

_TIMEOUT = 10  # seconds
_COMPARED = ("sec-websocket-protocol", "set-cookie", "www-authenticate")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step and the received answer."""

    step: Step
    got: Answer

    @property
    def ok(self) -> bool:
        """Whether the answer equals the expected one."""
        return self.got == self.step.expected


def play(steps: Iterable[Step], url: str, tokens: Mapping[str, str]) -> list[Outcome]:
    """Send the requests in order to the API at the URL, with one cookie jar."""
    tokens = {**tokens, **_bad_tokens()}
    # `trust_env`: a proxy of the environment does not reach this machine's loopback interface.
    with httpx2.Client(base_url=url, timeout=_TIMEOUT, trust_env=False) as client:
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
    return Answer(response.status_code, _body(response.text), _compared(response.headers))


def _talk(client: httpx2.Client, step: Step, tokens: list[str]) -> Answer:
    url = client.base_url
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    headers = {**step.headers, **({"Cookie": cookies} if cookies else {})}
    pair = [Subprotocol(text) for token in tokens for text in ("bearer", token)]
    try:
        with (
            # An own socket, because the client would use a proxy of the environment.
            socket.create_connection((url.host, url.port), timeout=_TIMEOUT) as connection,
            connect(
                f"ws://{url.netloc.decode()}{step.path}",
                sock=connection,
                subprotocols=pair or None,
                additional_headers=headers,
                open_timeout=_TIMEOUT,
            ) as websocket,
        ):
            websocket.send("ping")
            messages = [websocket.recv(_TIMEOUT), websocket.recv(_TIMEOUT)]
            chosen = websocket.subprotocol
            return Answer(101, messages, {"sec-websocket-protocol": chosen} if chosen else {})
    except InvalidStatus as refused:
        response = refused.response
        body = _body((response.body or b"").decode())
        return Answer(response.status_code, body, _compared(response.headers))


def _body(text: str) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def _compared(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to compare, without token and times in the cookie."""
    found = {name: headers[name] for name in _COMPARED if name in headers}
    if "set-cookie" in found:
        cookie = re.sub(r"=eyJ[\w.-]+", "=...", found["set-cookie"])
        parts = re.sub(r"Max-Age=[1-9]\d*", "Max-Age=...", cookie).split("; ")
        kept = (part for part in parts[1:] if not part.startswith("expires="))
        found["set-cookie"] = "; ".join((parts[0], *sorted(kept)))
    return found
