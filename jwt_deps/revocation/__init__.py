"""Revocation of tokens: entries in memory and in Redis, Token Status Lists."""
