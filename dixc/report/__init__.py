"""The report: a module a section of the page, figures, HTML, and the summary for the terminal.

Every section takes the run's `dixc.tables.results.Results`. Importing the package itself is cheap;
the workflow takes the names of figures from here.
"""

# written as figures/NAME.svg beside report.html, each of them always
FIGURES = ("metrics", "paper", "density_error", "warmstart", "excitations", "training_step", "training_wall")
