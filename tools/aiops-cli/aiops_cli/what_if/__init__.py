"""What other policies would have made of the anomalies that were: ``aiops policy diff NEW_DIR``.

Recorded anomalies pass through two correlators, one per policy, and their incidents are compared.
Nothing is published and nothing is written.
"""
