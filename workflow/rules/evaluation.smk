def model_file(wildcards):
    """The file of a trained functional; none for a baseline."""
    trained = CONFIG.parse(wildcards.functional).trained
    return result(f"models/{wildcards.functional}.pt") if trained else []


def functional_argument(wildcards):
    """How a command names the functional: a model file, or a name in the registry."""
    return model_file(wildcards) or wildcards.functional


rule evaluate:
    input:
        model=model_file,
        reference=result("reference/{chunk}.h5"),
    output:
        result("scf/{functional}/{chunk}.h5"),
    log:
        result("logs/evaluate/{functional}/{chunk}.log"),
    benchmark:
        result("benchmarks/evaluate/{functional}/{chunk}.tsv")
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(240),
    params:
        config=result("config.yaml"),
        functional=functional_argument,
        settings=settings("evaluation.scf"),
    shell:
        "dixc evaluate {params.functional} --config {params.config} --reference {input.reference}"
        " --out {output} --threads {threads} &> {log}"


rule warmstart:
    input:
        model=model_file,
        reference=result("reference/{chunk}.h5"),
        scf=result("scf/{functional}/{chunk}.h5"),
    output:
        result("warmstart/{functional}/{chunk}.csv"),
    log:
        result("logs/warmstart/{functional}/{chunk}.log"),
    benchmark:
        result("benchmarks/warmstart/{functional}/{chunk}.tsv")
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(240),
    params:
        config=result("config.yaml"),
        functional=functional_argument,
        settings=settings("reference", "evaluation.scf"),
    shell:
        "dixc warmstart {params.functional} --config {params.config} --reference {input.reference}"
        " --scf {input.scf} --out {output} --threads {threads} &> {log}"


rule default_guess:
    input:
        reference=result("reference/{chunk}.h5"),
    output:
        result("warmstart/reference/{chunk}.csv"),
    log:
        result("logs/warmstart/reference/{chunk}.log"),
    benchmark:
        result("benchmarks/warmstart/reference/{chunk}.tsv")
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(240),
    params:
        config=result("config.yaml"),
        settings=settings("reference", "evaluation.scf"),
    shell:
        "dixc warmstart reference --config {params.config} --reference {input.reference}"
        " --out {output} --threads {threads} &> {log}"


rule tddft:
    input:
        model=model_file,
        reference=result("reference/{chunk}.h5"),
        derivatives=result("derivatives/{chunk}.h5"),
        scf=result("scf/{functional}/{chunk}.h5"),
    output:
        result("tddft/{functional}/{chunk}.csv"),
    log:
        result("logs/tddft/{functional}/{chunk}.log"),
    benchmark:
        result("benchmarks/tddft/{functional}/{chunk}.tsv")
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(240),
    params:
        config=result("config.yaml"),
        functional=functional_argument,
        n_states=CONFIG.evaluation.tddft.n_states,
        methods=CONFIG.evaluation.tddft.methods,
    shell:
        "dixc tddft {params.functional} --config {params.config} --reference {input.reference}"
        " --derivatives {input.derivatives} --scf {input.scf} --out {output} --threads {threads} &> {log}"
