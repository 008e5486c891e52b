"""Limits in tokens and money: plans, what a user has left, the tenant's daily budget. Never reads a request."""
