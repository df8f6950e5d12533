"""Work that runs on a timer: periodic jobs and connection checks."""
