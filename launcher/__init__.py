"""`make run`: starts the whole network on one machine, and stops all of it again."""
