"""What people declare about the ship: its mode, maintenance windows, outages of its links."""
