rule reference:
    input:
        result("molecules/{chunk}.xyz"),
    output:
        result("reference/{chunk}.h5"),
    log:
        result("logs/reference/{chunk}.log"),
    benchmark:
        result("benchmarks/reference/{chunk}.tsv")
    priority: priority_of_reference
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("reference"),
        runtime=minutes_for("reference"),
    params:
        config=result("config.yaml"),
        method=METHODS["reference"],
        settings=settings.of_sections(CONFIG, "reference"),
    shell:
        "dixc reference {input} --config {params.config} --out {output} --threads {threads} &> {log}"
