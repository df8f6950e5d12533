"""What people may take along: everything about a person, and everything about a game."""
