"""The gateway: play in the browser, in a process of its own. It is the only part of the network that speaks telnet."""
