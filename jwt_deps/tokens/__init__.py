"""One token: look-up, claim checks, verification, claims, principal, explanation."""
