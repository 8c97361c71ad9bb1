"""Packs on this machine: fetched once, checked, mapped by everybody who asks."""
