TRAIN = CONFIG.chunks("train")


rule prefit:
    input:
        reference=[result(f"reference/{chunk}.h5") for chunk in TRAIN],
    output:
        result("models/{model}-prefit-{seed}.pt"),
    log:
        result("logs/prefit/{model}-{seed}.log"),
    benchmark:
        result("benchmarks/prefit/{model}-{seed}.tsv")
    priority: start_of_training
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
        hyperparameters=model_settings,
        settings=prefit_settings,
    shell:
        "dixc prefit --config {params.config} --model {wildcards.model} --seed {wildcards.seed}"
        " {params.reference} --out {output} --threads {threads} &> {log}"


rule train:
    input:
        start=result("models/{model}-prefit-{seed}.pt"),
        reference=[result(f"reference/{chunk}.h5") for chunk in TRAIN],
        derivatives=[result(f"derivatives/{chunk}.h5") for chunk in TRAIN],
        validation=[result(f"reference/{chunk}.h5") for chunk in CONFIG.chunks("validation")],
    output:
        model=result("models/{model}-{loss}-{seed}.pt"),
        log=result("training/{model}-{loss}-{seed}.csv"),
    log:
        result("logs/train/{model}-{loss}-{seed}.log"),
    benchmark:
        result("benchmarks/train/{model}-{loss}-{seed}.tsv")
    priority: longest_first
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
        checkpoints=checkpoint_folder,
        reference=repeated("--train-reference", "reference"),
        derivatives=repeated("--train-derivatives", "derivatives"),
        validation=repeated("--validation-reference", "validation"),
        settings=training_settings,
    shell:
        "dixc train --config {params.config} --model {wildcards.model} --loss {wildcards.loss}"
        " --seed {wildcards.seed} --start {input.start} {params.reference} {params.derivatives}"
        " {params.validation} --out {output.model} --log {output.log} --checkpoints {params.checkpoints}"
        " --threads {threads} &> {log}"
