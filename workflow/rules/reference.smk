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
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=for_chunk("reference", "mem_mb"),
        runtime=for_chunk("reference", "runtime"),
    params:
        config=result("config.yaml"),
        method=METHODS["reference"],
        settings=settings("reference"),
    shell:
        "dixc reference {input} --config {params.config} --out {output} --threads {threads} &> {log}"
