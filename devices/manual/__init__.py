"""Commands that people send to single devices by hand."""
