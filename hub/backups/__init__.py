"""Backups of the hub: nightly dumps, base backups with continuous WAL, and the way back from each."""
