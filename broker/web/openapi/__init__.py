"""The OpenAPI document, built from the same tables that the endpoints use. Does no I/O."""
