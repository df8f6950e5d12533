"""What this worker knows of the network: who is online, the records, and who is told of their changes."""
