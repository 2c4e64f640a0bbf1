"""Prompt → images: one request type, one protocol, one file a host."""
