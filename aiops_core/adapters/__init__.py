"""One module per backing store: the only places that know a client library."""
