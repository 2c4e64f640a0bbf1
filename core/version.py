"""The version of Modiste, also where it runs from a checkout; pyproject.toml reads it from here."""

VERSION = "0.1.0"
