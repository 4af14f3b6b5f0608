from dixc.report import FIGURES, TABLES as TABLE_NAMES

FUNCTIONALS = CONFIG.functionals()
WARMSTART = chunks(CONFIG.evaluation.warmstart.splits)
TABLES = [result(f"tables/{name}.csv") for name in TABLE_NAMES]
TDDFT = chunks(CONFIG.evaluation.tddft.splits)


def table(name):
    """An output of `tables`, shown in Snakemake's report."""
    return report(
        result(f"tables/{name}.csv"),
        caption=f"../report/{name}.rst",
        category="Tables",
        labels={"table": name, "run": CONFIG.run},
    )


rule tables:
    input:
        scf=[result(f"scf/{name}/{chunk}.h5") for name in FUNCTIONALS for chunk in chunks()],
        warmstart=[
            result(f"warmstart/{name}/{chunk}.csv")
            for name in ["reference", *FUNCTIONALS]
            for chunk in WARMSTART
        ],
        tddft=[result(f"tddft/{name}/{chunk}.csv") for name in FUNCTIONALS for chunk in TDDFT],
    output:
        scf=table("scf"),
        warmstart=table("warmstart"),
        tddft=table("tddft"),
        summary=table("summary"),
        convergence=table("convergence"),
        spectra=table("spectra"),
    log:
        result("logs/tables.log"),
    benchmark:
        result("benchmarks/tables.tsv")
    localrule: True
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        config=result("config.yaml"),
        folder=subpath(output.summary, parent=True),
        scf=repeated("--scf", "scf"),
        warmstart=repeated("--warmstart", "warmstart"),
        tddft=repeated("--tddft", "tddft"),
    shell:
        "dixc tables --config {params.config} {params.scf} {params.warmstart} {params.tddft}"
        " --out {params.folder} --threads {threads} &> {log}"


rule report:
    input:
        tables=TABLES,
        molecules=result("molecules/molecules.csv"),
        training=[result(f"training/{name}.csv") for name in CONFIG.trained()],
    output:
        page=report(
            result("report.html"),
            caption="../report/report.rst",
            category="Report",
            labels={"report": CONFIG.report.title, "run": CONFIG.run},
        ),
        figures=[
            report(
                result(f"figures/{name}.svg"),
                caption="../report/figure.rst",
                category="Figures",
                labels={"figure": name.replace("_", " "), "run": CONFIG.run},
            )
            for name in FIGURES
        ],
    log:
        result("logs/report.log"),
    benchmark:
        result("benchmarks/report.tsv")
    localrule: True
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        config=result("config.yaml"),
        folder=lambda wildcards, input: str(Path(input.tables[0]).parent),
        training=repeated("--training", "training"),
        settings=settings("report"),
    shell:
        "dixc report --config {params.config} --tables {params.folder} --molecules {input.molecules} {params.training}"
        " --out {output.page} --threads {threads} &> {log}"
