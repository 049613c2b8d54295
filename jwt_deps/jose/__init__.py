"""JOSE: base64url and JSON, keys, signatures (RFC 7515 to 7518, 7638)."""
