"""What events look like: words, lines, a bar, a log."""
