"""Channel lines, and the people who chat in the browser."""
