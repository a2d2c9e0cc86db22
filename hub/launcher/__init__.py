"""Bring the hub up from a bare clone. Standard library only: it runs before anything is installed."""
