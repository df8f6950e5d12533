"""The socket worker: games and network applications connect to it and talk. `python -m worker` runs one."""
