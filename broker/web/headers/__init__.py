"""Header fields of every response: CORS and security. Never reads a body."""
