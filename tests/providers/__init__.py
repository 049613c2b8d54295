"""Tokens of identity providers that others wrote, from the login form to the guarded route.

    npm's oidc-provider      `oidc_provider/server.mjs`, run by Node
    PyPI's Authlib           `authlib_server.py`, run by Flask

Both listen on loopback, publish a discovery document and a JWK Set, know the same clients and
issue JWT access tokens (RFC 9068) by authorization code with PKCE and by client credentials.
"""
