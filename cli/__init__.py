"""The command line: one command a file, thin; options are declared once."""
