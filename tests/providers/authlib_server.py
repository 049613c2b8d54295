"""PyPI's Authlib on loopback: `python -m tests.providers.authlib_server PORT KEYS_FILE`.

The grants, PKCE, the ID token and the JWT access token (RFC 9068) are Authlib's; what it leaves to
its user, where clients and codes are kept and what the form looks like, is here. KEYS_FILE is a JWK
Set of private keys; the first that fits an algorithm signs, all are published.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Response, jsonify, request
from joserfc.jwk import KeySet
from werkzeug.serving import make_server

SCOPES = ("openid", "read:items", "write:items")
ACTIONS = ("read", "run", "write", "delete")  # of an AgentOS: `agents:helper:run`

FORM = """
<form method="post">
  <input name="login" required>
  <button type="submit">Log in and consent</button>
</form>
"""


@dataclass(frozen=True)
class Client(ClientMixin):
    """A client: public with a redirect URI, or confidential with a secret."""

    client_id: str
    grant_type: str
    redirect_uri: str = ""
    secret: str = ""

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: object) -> str:
        return " ".join(
            each
            for each in str(scope).split()
            if each in SCOPES or each.rpartition(":")[2] in ACTIONS
        )

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return bool(redirect_uri) and redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(client_secret) and client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return endpoint == "token" and method == ("client_secret_basic" if self.secret else "none")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and bool(self.redirect_uri)

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == self.grant_type


@dataclass(frozen=True)
class User:
    """A user who can fill in a form."""

    name: str

    def get_user_id(self) -> str:
        return self.name


@dataclass(frozen=True)
class Code:
    """An authorization code and what it was issued for."""

    code: str
    client_id: str
    redirect_uri: str
    scope: str
    user: User
    auth_time: int
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> None:
        return None

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class CodeGrant(AuthorizationCodeGrant):
    """Authorization code, for public clients, with codes kept in memory."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    codes: dict[str, Code] = {}  # noqa: RUF012 - all requests share them

    def save_authorization_code(self, code: str, request: Any) -> None:
        self.codes[code] = Code(
            code=code,
            client_id=request.client.get_client_id(),
            redirect_uri=request.payload.redirect_uri,
            scope=request.scope,
            user=request.user,
            auth_time=int(time.time()),
            code_challenge=request.payload.data.get("code_challenge"),
            code_challenge_method=request.payload.data.get("code_challenge_method"),
        )

    def query_authorization_code(self, code: str, client: ClientMixin) -> Code | None:
        found = self.codes.get(code)
        return found if found and found.client_id == client.get_client_id() else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> User:
        return authorization_code.user


def signing_key(keys: KeySet, kind: str) -> KeySet:
    """Return the key that signs as a set of one: that way, Authlib names it in the header."""
    return KeySet([next(key for key in keys.keys if key.key_type == kind)])


class AccessTokens(JWTBearerTokenGenerator):
    """RFC 9068; Authlib leaves resource indicators (RFC 8707) to its user."""

    def __init__(self, issuer: str, alg: str, keys: KeySet) -> None:
        super().__init__(issuer=issuer, alg=alg)
        self._keys = keys

    def get_jwks(self) -> KeySet:
        return self._keys

    def get_audiences(self, client: ClientMixin, _user: object, _scope: object) -> list[str]:
        return [*request.form.getlist("resource"), client.get_client_id()]


class IDTokens(OpenIDCode):
    """OpenID Connect's ID token beside the access token."""

    def __init__(self, issuer: str, keys: KeySet) -> None:
        super().__init__()
        self._issuer = issuer
        self._keys = keys

    def resolve_client_private_key(self, _: object) -> KeySet:
        return self._keys

    def get_client_claims(self, client: ClientMixin) -> dict[str, object]:
        return {"iss": self._issuer, "aud": [client.get_client_id()]}

    def generate_user_info(self, user: User, _scope: str) -> UserInfo:
        return UserInfo(sub=user.name)


class Named(IssuerParameter):
    """The issuer's name in every answer to the client (RFC 9207)."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        return self._issuer


def provider(issuer: str, keys: KeySet) -> Flask:
    """Build the provider."""
    app = Flask("provider")
    redirect_uri = "http://127.0.0.1/callback"
    clients = (
        Client("app", "authorization_code", redirect_uri=redirect_uri),
        Client("worker", "client_credentials", secret="worker-secret"),
    )
    rsa, ec = signing_key(keys, "RSA"), signing_key(keys, "EC")
    server: Any = AuthorizationServer()  # half of its methods are typed
    server.init_app(
        app,
        query_client={client.client_id: client for client in clients}.get,
        save_token=lambda *_: None,
    )
    server.register_token_generator("default", AccessTokens(issuer, "RS256", rsa))
    server.register_token_generator("client_credentials", AccessTokens(issuer, "ES256", ec))
    server.register_grant(CodeGrant, [CodeChallenge(required=True), IDTokens(issuer, rsa)])
    server.register_grant(ClientCredentialsGrant)
    server.register_extension(Named(issuer))

    @app.get("/.well-known/openid-configuration")
    def metadata() -> Response:
        return jsonify(
            issuer=issuer,
            authorization_endpoint=f"{issuer}/authorize",
            token_endpoint=f"{issuer}/token",
            jwks_uri=f"{issuer}/keys",
            scopes_supported=SCOPES,
            response_types_supported=["code"],
            subject_types_supported=["public"],
            id_token_signing_alg_values_supported=["RS256"],
            code_challenge_methods_supported=["S256"],
        )

    @app.get("/keys")
    def published() -> Response:
        return jsonify(keys.as_dict(private=False))

    @app.get("/authorize")
    def form() -> str:
        server.get_consent_grant()
        return FORM

    @app.post("/authorize")
    def consent() -> Response:
        user = User(request.form["login"])
        response: Response = server.create_authorization_response(
            grant_user=user, grant=server.get_consent_grant(end_user=user)
        )
        return response

    @app.post("/token")
    def token() -> Response:
        response: Response = server.create_token_response()
        return response

    return app


def main(port: str, keys_file: str) -> None:
    """Serve until killed; the line that is printed says that it listens."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain HTTP, on loopback only
    issuer = f"http://127.0.0.1:{port}"
    keys = KeySet.import_key_set(json.loads(Path(keys_file).read_text()))
    server = make_server("127.0.0.1", int(port), provider(issuer, keys), threaded=True)
    print(json.dumps({"port": int(port), "issuer": issuer}), flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
