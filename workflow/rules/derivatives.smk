rule derivatives:
    input:
        result("reference/{chunk}.h5"),
    output:
        result("derivatives/{chunk}.h5"),
    log:
        result("logs/derivatives/{chunk}.log"),
    benchmark:
        result("benchmarks/derivatives/{chunk}.tsv")
    priority: priority_of_reference
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("derivatives"),
        runtime=minutes_for("derivatives"),
    params:
        config=result("config.yaml"),
        method=METHODS["derivatives"],
        settings=lambda wildcards: settings.of_derivatives(CONFIG, wildcards.chunk),
    shell:
        "dixc derivatives {input} --config {params.config} --out {output} --threads {threads} &> {log}"
