"""The operator's commands. A command changes only what its name says."""
