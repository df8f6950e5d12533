"""The reasons why a start ends early."""


class LaunchError(Exception):
    """The network cannot start. The text is one line for the terminal."""


class Stopped(Exception):
    """A signal arrived before everything was running."""
