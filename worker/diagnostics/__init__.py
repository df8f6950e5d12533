"""What owners and operators can see of a running worker."""
