"""What the hub costs, measured beside the raw limit in the same run: `make bench`."""
