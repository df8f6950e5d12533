"""Signing in to games and applications with an account: the rules of the OpenID Connect provider, without HTTP."""
