"""Deployments: which devices are to run which bundle, and how far each of them has come."""
