"""Log lines without what varies in them: masks, templates that are learned, parameters. Pure."""
