"""Alerts: rules over what is measured and what apps know, and the channels by which people hear of it."""
