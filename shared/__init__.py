"""What the site and the socket worker share: models, services, the protocol's types, settings, database and bus."""

__version__ = "0.1.0"
