"""Real servers, processes, sockets and a real browser for the tests."""
