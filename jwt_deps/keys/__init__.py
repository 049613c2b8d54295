"""Key sets, and keys over HTTP: discovery, fetching, caching (RFC 7517, 8414)."""
