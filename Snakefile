from snakemake.utils import min_version

min_version("9.20")


# a file given with --configfile replaces the default run; merged, the two could contradict each other
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/molecules.smk"
include: "workflow/rules/reference.smk"
include: "workflow/rules/derivatives.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        TABLES,
        PAGE,
        # Snakemake makes a lost file between two others again only if it is asked for
        PRODUCTS,
