"""Commands for a person, one module each.

    scf, hybrid   molecules of a file with a functional of dixc, or with a hybrid of PySCF (`dixc scf`)
    models, info  what functionals there are, and what a file is
    plan, partial what a run will cost, and what it has so far

`batch` and `rows` run the molecules of a file and keep their results, `text` makes tables.
"""
