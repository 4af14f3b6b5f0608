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
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=for_chunk("derivatives", "mem_mb"),
        runtime=for_chunk("derivatives", "runtime"),
    params:
        config=result("config.yaml"),
        method=METHODS["derivatives"],
        settings=derivative_settings,
    shell:
        "dixc derivatives {input} --config {params.config} --out {output} --threads {threads} &> {log}"
