"""What the report is made of: metrics and summary, comparisons in words, figures, HTML."""
