"""Why a start or a stop failed."""


class LaunchError(Exception):
    """Something stands in the way of the start; the text is one line for the terminal."""


class Stopped(Exception):
    """A signal asked to stop before everything was up."""
