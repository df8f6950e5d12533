"""A real MUD server, Evennia, against the real worker. Slow, and in an environment of its own: see README.md here."""
