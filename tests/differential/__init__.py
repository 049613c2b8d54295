"""Compare what this package, PyJWT, joserfc and panva/jose accept, on inputs from a seed.

    python -m tests.differential [--inputs 20000] [--seed 1]

An input is a token and the key, or the JWK Set, that a service has. Tokens are changed as the
catalogue of `jwt-deps conformance` changes them, by random values and in single characters; JWKs
in their members. Where this package and another one disagree, `reasons.toml` says why; anything
else ends the command with code 1, as does an exception of this package that is not its own.
"""
