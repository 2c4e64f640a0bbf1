"""A1111, Forge and reForge over HTTP: request → JSON → picture, and what was really used."""
