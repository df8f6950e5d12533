"""Play sessions: a browser at one end, a game at the other. Source: docs/play.md."""
