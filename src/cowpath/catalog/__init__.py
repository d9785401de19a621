"""The image service as a client sees it."""
