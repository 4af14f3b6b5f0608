"""Speed of dixc beside the programs that a user would pick instead; see `python -m benchmarks.speed --help`."""
