"""`make load`: many people at once on a hub as `make up` starts it, each with limits of his own."""
