"""The worker's view of the network: who is online, the records, and the notices and syncs about them."""
