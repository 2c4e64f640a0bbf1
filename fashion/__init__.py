"""Photo → tags → prompt, and image × reference → score. Knows no host, no trainer."""
