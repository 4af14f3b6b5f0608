rule reference:
    input:
        result("molecules/{chunk}.xyz"),
    output:
        result("reference/{chunk}.h5"),
    log:
        result("logs/reference/{chunk}.log"),
    benchmark:
        result("benchmarks/reference/{chunk}.tsv")
    priority: is_training_data
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(240),
    params:
        config=result("config.yaml"),
        settings=settings("reference"),
    shell:
        "dixc reference {input} --config {params.config} --out {output} --threads {threads} &> {log}"
