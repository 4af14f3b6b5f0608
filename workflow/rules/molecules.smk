from dixc.molecules import source_files, source_versions


def asked(question):
    """A function of the rule that asks about the sources of molecules, and turns what is wrong into one line."""

    def answer(wildcards):
        try:
            return question(CONFIG.molecules.files)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return answer


rule molecules:
    input:
        # those in a folder or named in a table too; none of an installed package
        asked(source_files),
    output:
        chunks=[result(f"molecules/{chunk}.xyz") for chunk in chunks()],
        table=result("molecules/molecules.csv"),
    log:
        result("logs/molecules.log"),
    benchmark:
        result("benchmarks/molecules.tsv")
    conda:
        "../../envs/dixc.yaml"
    threads: 1
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
    params:
        config=result("config.yaml"),
        method=METHODS["molecules"],
        folder=subpath(output.table, parent=True),
        settings=settings("molecules"),
        packages=asked(source_versions),
    shell:
        "dixc molecules --config {params.config} --out {params.folder} --threads {threads} &> {log}"
