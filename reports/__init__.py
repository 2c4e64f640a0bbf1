"""report.json, report.html, charts and texts."""
