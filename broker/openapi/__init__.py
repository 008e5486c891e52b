"""The OpenAPI document, in its parts."""
