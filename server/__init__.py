"""Modiste as an HTTP server: the part of A1111's API that its clients use, over any host of ours."""
