"""Are explanations right? Written incidents with their answers, and questions to the runbooks.

``cases.yaml`` was written before the rules that it judges, ``held_out.yaml`` with them in the
making and unseen by those who wrote them; ``questions.yaml`` asks in words that no title has.
"""
