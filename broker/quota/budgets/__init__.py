"""Limits in tokens and money: a caller's plan, the reservation of a call, the tenant's fuse. Never reads a request."""
