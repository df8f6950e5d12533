"""The `flask` commands, one module per group. `app/cli.py` lists the groups.

A command prints its result as one JSON object on one line. It reports a refusal as one line on standard error and exits
with status 1. Commands act as the operator, who may do everything.
"""
