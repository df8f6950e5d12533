"""The domain: every rule and every write, one module a noun.

Functions take a session first and keyword arguments after it, raise the errors of `shared/errors.py`, flush if they
must and never commit. `actor_id` is the user who acts; None is the operator on the command line, who may do all.
"""
