"""The laboratory, in no image: simulator, bench, evaluation, and a fleet on embedded parts."""
