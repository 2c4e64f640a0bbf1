"""From photos to a verdict: search, train, compare, on one split of the photos."""
