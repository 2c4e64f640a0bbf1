"""`python -m modiste.bench.NAME [--json]`: each measures one claim."""
