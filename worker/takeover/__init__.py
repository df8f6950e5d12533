"""Another process takes over this worker's sockets, so that an upgrade drops none (docs/architecture.md)."""
