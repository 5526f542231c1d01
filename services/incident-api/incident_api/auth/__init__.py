"""Who may ask: bearer tokens with roles; without configured tokens only this host."""
