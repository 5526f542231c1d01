"""``aiops eval detect``: what production runs, with its defaults, against known truth."""
