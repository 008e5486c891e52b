"""The connections that `requests` sends through: opening, reuse, framing, timeouts. Knows nothing of chat."""
