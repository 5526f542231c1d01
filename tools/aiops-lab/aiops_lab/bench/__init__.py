"""``aiops bench``: how fast the fleet is, as ratios to a raw relay measured in the same run."""
