"""The operator's view of a user's day, and changes to it. No call waits for it; a worker only watches for blocks."""
