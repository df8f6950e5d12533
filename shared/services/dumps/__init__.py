"""A whole network as one file, to move it to another database (docs/operating.md, "Moving to another database")."""
