"""The files in deploy/ and the steps of docs/operating.md, run for real."""
