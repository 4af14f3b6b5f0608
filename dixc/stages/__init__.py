"""The stages of a run, one module each: open, loop, write.

The command of the same name calls `run(...)` with the stage's section of the config. What is done
with one molecule is in `dixc.reference` and `dixc.evaluation`. `parts` and `training_files` are
shared by stages and command line.
"""
