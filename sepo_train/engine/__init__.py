"""Forward passes: layouts, attention masks, the output head, log-probabilities, generation, the layout check."""
