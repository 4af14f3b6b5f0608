"""The workflow as code, for the Snakefile and its rules, `dixc plan` and `dixc partial`.

    run          versions of the stages' methods, and the files that open a run
    files        names of a run's files
    settings     what a rule states of the config in its params
    priorities   which jobs come first
    resources    memory, time and storage of jobs
    words        options of commands, patterns of wildcards
    functionals  whether a run can have the functionals that its config names

It is imported again for every job on a cluster: nothing here loads PyTorch or PySCF before it is
called.
"""

from dixc.workflow.run import METHODS, start, upgrade_notice

__all__ = ["METHODS", "start", "upgrade_notice"]
