from dixc.report import FIGURES
from dixc.tables.schema import TABLES as TABLE_NAMES

TABLES = [result(f"tables/{name}.csv") for name in TABLE_NAMES]
PAGE = [result("report.html"), *(result(f"figures/{name}.svg") for name in FIGURES)]
# what lies between molecules and tables
PRODUCTS = [
    *FILES.molecules,
    *FILES.references,
    *FILES.derivatives,
    *FILES.models,
    *FILES.logs,
    *FILES.scf,
    *FILES.warmstart,
    *FILES.tddft,
]


rule tables:
    input:
        scf=FILES.scf,
        warmstart=FILES.warmstart,
        tddft=FILES.tddft,
    output:
        scf=table("scf"),
        warmstart=table("warmstart"),
        tddft=table("tddft"),
        summary=table("summary"),
        convergence=table("convergence"),
        spectra=table("spectra"),
        provenance=result("tables/provenance.json"),
    log:
        result("logs/tables.log"),
    benchmark:
        result("benchmarks/tables.tsv")
    localrule: True
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=scaled(memory("tables")),
        runtime=scaled(30),
    params:
        config=result("config.yaml"),
        method=METHODS["tables"],
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
        molecules=FILES.molecules_table,
        training=FILES.logs,
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
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=scaled(memory("report")),
        runtime=scaled(30),
    params:
        config=result("config.yaml"),
        method=METHODS["report"],
        folder=lambda wildcards, input: str(Path(input.tables[0]).parent),
        training=repeated("--training", "training"),
        settings=settings.of_sections(CONFIG, "report"),
    shell:
        "dixc report --config {params.config} --tables {params.folder} --molecules {input.molecules} {params.training}"
        " --out {output.page} --threads {threads} &> {log}"
