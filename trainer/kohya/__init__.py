"""kohya's sd-scripts as an engine."""
