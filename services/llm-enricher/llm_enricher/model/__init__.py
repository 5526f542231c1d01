"""The language model: what it is asked, what of its answer is believed, whether it may be used."""
