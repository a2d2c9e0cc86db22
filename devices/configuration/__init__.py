"""Configuration: what devices are to be set to, by group and by device, and which version each has applied."""
