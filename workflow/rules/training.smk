TRAIN_REFERENCES = FILES.of_chunks("reference", "h5", ["train"])


rule prefit:
    input:
        reference=TRAIN_REFERENCES,
    output:
        result("models/{model}-prefit-{seed}.pt"),
    log:
        result("logs/prefit/{model}-{seed}.log"),
    benchmark:
        result("benchmarks/prefit/{model}-{seed}.tsv")
    priority: lambda wildcards: priorities.of_prefit(CONFIG, int(wildcards.seed))
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=scaled(memory("prefit")),
        runtime=scaled(120),
    params:
        config=result("config.yaml"),
        method=METHODS["prefit"],
        reference=repeated("--reference", "reference"),
        hyperparameters=lambda wildcards: settings.of_model(CONFIG, wildcards.model),
        settings=lambda wildcards: settings.of_prefit(CONFIG, wildcards.model),
    shell:
        "dixc prefit --config {params.config} --model {wildcards.model} --seed {wildcards.seed}"
        " {params.reference} --out {output} --threads {threads} &> {log}"


rule train:
    input:
        start=result("models/{model}-prefit-{seed}.pt"),
        reference=TRAIN_REFERENCES,
        derivatives=FILES.of_chunks("derivatives", "h5", ["train"]),
        validation=FILES.of_chunks("reference", "h5", ["validation"]),
    output:
        model=result("models/{model}-{loss}-{seed}.pt"),
        log=result("training/{model}-{loss}-{seed}.csv"),
    log:
        result("logs/train/{model}-{loss}-{seed}.log"),
    benchmark:
        result("benchmarks/train/{model}-{loss}-{seed}.tsv")
    priority: lambda wildcards: priorities.of_training(CONFIG, wildcards.loss, int(wildcards.seed))
    conda:
        "../../envs/dixc.yaml"
    threads: CONFIG.training.processes
    resources:
        mem_mb=scaled(memory("train", training=CONFIG.training)),
        runtime=scaled(1440),
        gpu=CONFIG.training.gpus,
    params:
        config=result("config.yaml"),
        method=METHODS["train"],
        # no output: Snakemake would delete it before a rerun, and an interrupted training could not resume
        checkpoints=lambda wildcards, output: checkpoints_of(output.model),
        reference=repeated("--train-reference", "reference"),
        derivatives=repeated("--train-derivatives", "derivatives"),
        validation=repeated("--validation-reference", "validation"),
        settings=lambda wildcards: settings.of_training(CONFIG, wildcards.model, wildcards.loss),
    shell:
        "dixc train --config {params.config} --model {wildcards.model} --loss {wildcards.loss}"
        " --seed {wildcards.seed} --start {input.start} {params.reference} {params.derivatives}"
        " {params.validation} --out {output.model} --log {output.log} --checkpoints {params.checkpoints}"
        " --threads {threads} &> {log}"
