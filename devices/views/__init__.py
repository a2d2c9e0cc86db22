"""Views of devices."""
