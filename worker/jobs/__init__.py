"""Work that runs on a timer: the network's periodic jobs and the connection checks."""
