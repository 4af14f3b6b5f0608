rule molecules:
    input:
        molecule_files,
    output:
        chunks=FILES.of_chunks("molecules", "xyz"),
        table=FILES.molecules_table,
    log:
        result("logs/molecules.log"),
    benchmark:
        result("benchmarks/molecules.tsv")
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=scaled(memory("molecules")),
        runtime=scaled(10),
    params:
        config=result("config.yaml"),
        method=METHODS["molecules"],
        folder=subpath(output.table, parent=True),
        settings=settings.of_sections(CONFIG, "molecules"),
        packages=PACKAGES,
    shell:
        # what there is to say of the molecules concerns the whole run: not in the log alone
        "trap \"grep '^dixc: ' {log} >&2 || true\" EXIT;"
        " dixc molecules --config {params.config} --out {params.folder} --threads {threads} &> {log}"
