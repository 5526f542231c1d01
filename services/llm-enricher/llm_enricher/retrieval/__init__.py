"""What the ship already knows of such a fault: parts of runbooks, and incidents that are over.

Found by meaning (vectors in Qdrant) and by words (BM25), in one ranking; by words alone, and marked
so, while the model of embeddings or Qdrant is away.
"""
