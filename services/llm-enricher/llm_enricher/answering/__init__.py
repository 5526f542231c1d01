"""From facts about incidents to answers: when one is due, the first, and the model's."""
