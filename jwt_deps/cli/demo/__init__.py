"""`jwt-deps demo`: a small API, tokens for it, and a scenario that checks its answers."""
