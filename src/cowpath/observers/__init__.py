"""What events look like: words, lines, bars, JSON lines, a log."""
