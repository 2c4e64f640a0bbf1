"""A training started from a node: its config, process, history and files."""
