"""Response fields that every answer carries: CORS and what a browser must not do. Never reads a body."""
