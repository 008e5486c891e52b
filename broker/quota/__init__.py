"""Counts each caller's usage in Redis and enforces the limits. Only this package uses Redis; it never checks tokens."""
