"""Boot any Glance image at any site as a copy-on-write clone."""
