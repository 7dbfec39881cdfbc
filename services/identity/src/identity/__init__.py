"""Accounts, tokens and signing keys."""
