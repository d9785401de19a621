"""How an image gets into this site's store: the ways behind the port `Way`."""
