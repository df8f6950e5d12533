"""The domain: every rule and every write, one module per noun.

A function takes a database session, then the `Actor` who acts where permission matters, then keyword arguments. It
raises the errors of `shared/errors.py`, flushes if it must, and never commits.

`authority/` (actors, permissions, the audit trail) imports no other service. `moderation/`, the moderators' work, may
import any service, and no other service imports it.
"""
