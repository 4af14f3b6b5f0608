rule derivatives:
    input:
        result("reference/{chunk}.h5"),
    output:
        result("derivatives/{chunk}.h5"),
    log:
        result("logs/derivatives/{chunk}.log"),
    benchmark:
        result("benchmarks/derivatives/{chunk}.tsv")
    priority: is_training_data
    threads: 1
    resources:
        mem_mb=scaled(6000),
        runtime=scaled(480),
    params:
        config=result("config.yaml"),
        settings=settings("derivatives"),
    shell:
        "dixc derivatives {input} --config {params.config} --out {output} --threads {threads} &> {log}"
