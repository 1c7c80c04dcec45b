"""The job definitions of this pod, and what follows an importBulkData load."""

import io
import zipfile

from athena_fusion.sandbox.fusion import journal_import, loader, posting, ucm
from athena_fusion.sandbox.fusion.ess import Chain, Engine, Job, Run, Submission

LOADER_PACKAGE = "/oracle/apps/ess/financials/commonModules/shared/common/interfaceLoader"
LEDGER_PACKAGE = "/oracle/apps/ess/financials/generalLedger/programs/common"
LOAD_DEFINITION = "InterfaceLoaderController"
UPLOAD_DEFINITION = "InterfaceLoaderOutputUpload"


def _upload_output(run: Run) -> str:
    """Put logs and outputs of the chain into UCM; with PurgeOption=Y the load's interface rows go after that."""
    chain = Chain.loads(run.options or "{}")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in run.connection.execute(
            "SELECT f.name, f.content FROM ess_files f JOIN ess_requests r ON r.id = f.request"
            " WHERE r.chain = ? ORDER BY r.id, f.name",
            (run.chain,),
        ):
            archive.writestr(row["name"], row["content"])
    document = ucm.store(
        run.pod,
        name=f"{run.chain}.zip",
        account="fin$/generalLedger$/export$",
        content_type="zip",
        author=run.submitter,
        content=content.getvalue(),
    )
    run.log.append(f"Output of request {run.chain} uploaded as document {document}.")
    run.connection.execute("UPDATE ess_requests SET document = ? WHERE id = ?", (str(document), run.request))
    if chain.purge:
        run.log.append(f"{loader.purge_loads(run.connection, run.chain, run.chain)} interface rows purged.")
    return "SUCCEEDED"


def _after_load(run: Run, state: str, engine: Engine) -> None:
    if run.options is None:
        return
    chain = Chain.loads(run.options)
    if chain.import_definition and state != "ERROR":
        arguments = [each.replace("{req_id}", str(run.request)) for each in chain.import_arguments]
        engine.insert(
            Submission(
                chain.import_definition, arguments, run.submitter, chain=run.chain, options=run.options
            )
        )
    else:
        _follow_with_upload(run, engine)


def _after_import(run: Run, state: str, engine: Engine) -> None:  # noqa: ARG001 - every end is followed alike
    if run.options is not None:
        _follow_with_upload(run, engine)


def _follow_with_upload(run: Run, engine: Engine) -> None:
    if Chain.loads(run.options or "{}").extract != "NONE":
        engine.insert(Submission(UPLOAD_DEFINITION, [], run.submitter, chain=run.chain, options=run.options))


CATALOGUE = (
    Job(
        LOAD_DEFINITION,
        LOADER_PACKAGE,
        "Load Interface File for Import",
        loader.check_arguments,
        privilege="load",
        children=("InterfaceLoaderAsyncJob", "InterfaceLoaderSqlldrImport"),
        after=_after_load,
    ),
    Job("InterfaceLoaderAsyncJob", LOADER_PACKAGE, "Transfer File", loader.transfer_file),
    Job("InterfaceLoaderSqlldrImport", LOADER_PACKAGE, "Load File to Interface", loader.load_file),
    Job("InterfaceLoaderPurge", LOADER_PACKAGE, "Purge Interface Tables", loader.purge, privilege="purge"),
    Job(
        UPLOAD_DEFINITION,
        LOADER_PACKAGE,
        "Upload Interface Error and Job Output File to Universal Content Management",
        _upload_output,
    ),
    Job(
        "JournalImportLauncher",
        LEDGER_PACKAGE,
        "Import Journals",
        journal_import.check_arguments,
        privilege="import",
        children=("JournalImport",),
        hides_warnings=True,
        after=_after_import,
    ),
    Job("JournalImport", LEDGER_PACKAGE, "Import Journals: Child", journal_import.import_journals),
    Job(
        "AutomaticPosting",
        LEDGER_PACKAGE,
        "AutoPost Journals",
        posting.check_criteria,
        privilege="autopost",
        children=("JournalPosting",),
        child_log="Your posting process {request} has been submitted for batches with priority 1.",
    ),
    Job("JournalPosting", LEDGER_PACKAGE, "Post Journals", posting.post_batches),
)
