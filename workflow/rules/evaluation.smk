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
    priority: priority_of_evaluation
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("evaluate"),
        runtime=minutes_for("evaluate"),
    params:
        config=result("config.yaml"),
        method=METHODS["evaluate"],
        functional=functional_argument,
        settings=settings.of_sections(CONFIG, "evaluation.scf"),
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
    priority: priority_of_evaluation
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("warmstart"),
        runtime=minutes_for("warmstart"),
    params:
        config=result("config.yaml"),
        method=METHODS["warmstart"],
        functional=functional_argument,
        accelerate=CONFIG.evaluation.warmstart.accelerate,
        settings=settings.of_sections(CONFIG, "reference", "evaluation.scf"),
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
    priority: FIRST
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("default_guess"),
        runtime=minutes_for("default_guess"),
    params:
        config=result("config.yaml"),
        method=METHODS["warmstart"],
        settings=settings.of_sections(CONFIG, "reference", "evaluation.scf"),
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
    priority: priority_of_evaluation
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("tddft"),
        runtime=minutes_for("tddft"),
    params:
        config=result("config.yaml"),
        method=METHODS["tddft"],
        functional=functional_argument,
        n_states=CONFIG.evaluation.tddft.n_states,
        methods=CONFIG.evaluation.tddft.methods,
    shell:
        "dixc tddft {params.functional} --config {params.config} --reference {input.reference}"
        " --derivatives {input.derivatives} --scf {input.scf} --out {output} --threads {threads} &> {log}"
