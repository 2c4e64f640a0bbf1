"""What a run leaves behind: the journal, the pictures, the report."""
