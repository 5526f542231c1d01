"""The ledger: every anomaly ends in exactly one place, or is found missing.

Places: member of an incident, duplicate of a member, suppressed by a rule, digested, dead letter.
"""
