"""Look at volumes in a browser: a local page, served to this machine alone."""
