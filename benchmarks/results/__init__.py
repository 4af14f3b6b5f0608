"""The page docs/results.md: from the tables of runs to small CSV files, and from these to text.

    python -m benchmarks.results collect results/benchmark docs/results/benchmark
    python -m benchmarks.results page docs/results docs/results.md

The first step is done where a run's tables are, and its files are kept in git; the second needs
nothing but them.
"""
