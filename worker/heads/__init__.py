"""Heads: small classifiers trained on a pack's rows. One method a file."""
