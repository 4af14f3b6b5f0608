"""What the report is made of: metrics and summary, comparisons in words, figures, HTML.

Importing the package itself is cheap; the workflow takes the names of figures and tables from here.
"""

# written as figures/NAME.svg beside report.html, each of them always
FIGURES = ("metrics", "paper", "density_error", "warmstart", "excitations", "training_step", "training_wall")
# written as tables/NAME.csv, each of them always
TABLES = ("scf", "warmstart", "tddft", "summary", "convergence", "spectra")
