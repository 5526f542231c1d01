"""Explanations by rules: at once, without a model, and never against a fact that is known."""
