"""Moderation: one module a subject. Functions take a session and then the `Actor` who acts, where there is one.

Each asks `permissions` first, writes its entry of the audit trail (`audit.record`) in the same transaction, and marks
what workers have to read again (`changes.mark`). Nothing here is needed to keep a sanction in force or to end it.
"""
