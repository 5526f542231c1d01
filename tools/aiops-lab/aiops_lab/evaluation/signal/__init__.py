"""How few items a person gets from a log, and what they say: ``aiops eval signal``.

``replay`` lets the lines of a log pass through the decisions of production. ``scores`` counts what
came of it, with the judgement of titles by ``vague`` and of faults by ``truth``. ``expected.yaml``
says what a person finds by reading the six logs of ``../shared/data/loghub``.
"""
