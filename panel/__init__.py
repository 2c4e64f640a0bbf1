"""The page in A1111 and Forge, without either: forms → commands in Modiste's own environment → their results.

Standard library and gradio only: the host's Python is old and is not ours to change.
"""
