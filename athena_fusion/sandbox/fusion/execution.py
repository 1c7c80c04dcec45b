"""Execution details of a request: the job tree as JSON, and the files of the tree as one ZIP."""

import io
import zipfile
from collections.abc import Mapping

from athena_fusion.sandbox.fusion.ess import TERMINAL, Engine
from athena_fusion.sandbox.fusion.jobs import UPLOAD_DEFINITION

_ORDER = ("SUCCEEDED", "WARNING", "CANCELLED", "EXPIRED", "VALIDATION_FAILED", "ERROR")


def execution_details(
    engine: Engine, row: Mapping[str, object], *, as_list: bool, paused: bool
) -> dict[str, object]:
    """Tree of the request, and of what importBulkData started after it.

    JOBS is a list, or one object where there is one root job and the pod is not set to lists. `paused` shows the
    root as PAUSED whatever it is.
    """
    rows = engine.pod.database.rows(
        "SELECT * FROM ess_requests WHERE chain = ? OR absolute_parent = ? ORDER BY id", row["id"], row["id"]
    )
    if all(each["id"] != row["id"] for each in rows):
        rows = engine.pod.database.rows(
            "SELECT * FROM ess_requests WHERE absolute_parent = ? ORDER BY id", row["absolute_parent"]
        )
    by_id: dict[int, dict[str, object]] = {}
    roots: list[dict[str, object]] = []
    for each in rows:
        job = engine.jobs[each["definition"]]
        node: dict[str, object] = {"JOBNAME": job.name, "JOBPATH": job.package}
        if each["document"] and each["definition"] != UPLOAD_DEFINITION:
            node["DOCUMENTNAME"] = each["document"]
        node |= {"REQUESTID": str(each["id"]), "STATUS": each["state"]}
        by_id[each["id"]] = node
        parent = by_id.get(each["parent"] or 0)
        if parent is None or each["id"] == row["id"]:
            roots.append(node)
        else:
            children = parent.setdefault("CHILD", [])
            assert isinstance(children, list)
            children.append(node)
    if paused:
        roots[0]["STATUS"] = "PAUSED"
    states = [str(node["STATUS"]) for node in by_id.values()]
    details: dict[str, object] = {"JOBS": roots if as_list or len(roots) > 1 else roots[0]}
    if all(state in TERMINAL for state in states):
        details["SUMMARYSTATUS"] = max(states, key=_ORDER.index)
    uploads = [
        each["document"] for each in rows if each["definition"] == UPLOAD_DEFINITION and each["document"]
    ]
    if uploads:
        details["DOCUMENTID"] = uploads[-1]
    return details


def execution_files(engine: Engine, request: int, kinds: set[str]) -> bytes:
    """ZIP of the files of a request and its descendants: one log each, and the reports of those that write one."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in engine.pod.database.rows(
            "WITH RECURSIVE tree (id) AS (SELECT ? UNION SELECT r.id FROM ess_requests r, tree"
            " WHERE r.parent = tree.id)"
            " SELECT f.name, f.kind, f.content FROM tree JOIN ess_files f ON f.request = tree.id"
            " ORDER BY f.request, f.name",
            request,
        ):
            if row["kind"] in kinds:
                archive.writestr(row["name"], row["content"])
    return content.getvalue()
