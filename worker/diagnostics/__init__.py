"""What owners and operators are shown of a running worker."""
