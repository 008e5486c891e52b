"""The operator's commands. They change nothing that they do not name."""
