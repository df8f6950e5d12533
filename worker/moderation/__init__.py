"""Enforces what moderators, owners and players decided."""
