TRAIN = CONFIG.chunks("train")


def model_settings(wildcards):
    """Hyperparameters of the model, as text."""
    return json.dumps(CONFIG.hyperparameters(wildcards.model), sort_keys=True)


def training_settings(wildcards):
    """The training settings that decide the weights of this loss, as text."""
    return json.dumps(CONFIG.training.settings(wildcards.loss), sort_keys=True)


def longest_first(wildcards):
    """Priority of a training: a loss with more terms takes longer and must not be the last to start."""
    return {"hess": 30, "grad": 20, "base": 10}[wildcards.loss]


rule prefit:
    input:
        reference=[result(f"reference/{chunk}.h5") for chunk in TRAIN],
    output:
        result("models/{model}-prefit-{seed}.pt"),
    log:
        result("logs/prefit/{model}-{seed}.log"),
    benchmark:
        result("benchmarks/prefit/{model}-{seed}.tsv")
    priority: 40
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(120),
    params:
        config=result("config.yaml"),
        reference=repeated("--reference", "reference"),
        hyperparameters=model_settings,
        settings=settings("prefit"),
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
    threads: 1
    resources:
        mem_mb=scaled(4000 + int(1000 * CONFIG.training.cache_gb)),
        runtime=scaled(1440),
    params:
        config=result("config.yaml"),
        # no output: Snakemake would delete it before a rerun, and an interrupted training could not resume
        checkpoints=result("checkpoints/{model}-{loss}-{seed}"),
        reference=repeated("--train-reference", "reference"),
        derivatives=repeated("--train-derivatives", "derivatives"),
        validation=repeated("--validation-reference", "validation"),
        settings=training_settings,
    shell:
        "dixc train --config {params.config} --model {wildcards.model} --loss {wildcards.loss}"
        " --seed {wildcards.seed} --start {input.start} {params.reference} {params.derivatives}"
        " {params.validation} --out {output.model} --log {output.log} --checkpoints {params.checkpoints}"
        " --threads {threads} &> {log}"
