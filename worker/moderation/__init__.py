"""What moderators, owners and players decided, as this worker enforces it."""
