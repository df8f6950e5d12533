"""The servers that are compared: this project's worker, the least a C server can do, and well-known chat servers."""
