"""Pages of servers and templates. Thin: find what one may see, call one service, say what came of it."""
