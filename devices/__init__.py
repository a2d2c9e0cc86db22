"""Edge devices: who they are, what they run, and how they are told."""
