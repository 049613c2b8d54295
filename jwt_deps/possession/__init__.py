"""Proof of possession: DPoP (RFC 9449), mutual TLS (RFC 8705), nonces and replay stores."""
