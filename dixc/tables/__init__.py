"""Tables of results: their schema, the metrics in them, and what they say."""
