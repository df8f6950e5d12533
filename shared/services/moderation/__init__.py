"""Moderation: one module per subject.

Each act asks `permissions` first, records itself in the audit trail (`audit.record`) in the same transaction, and marks
what workers must read again (`changes.mark`). No process has to run for a sanction to stay in force or to end.
"""
