"""Bearer tokens with roles; without configured tokens only this host is served."""
