"""Show a run in a notebook: a small table without styles, which every notebook draws."""

from __future__ import annotations

from git_coderepo.manifest.model import Manifest
from git_coderepo.report.elements import Html, code, element, joined


def notebook_table(manifest: Manifest, state: str) -> Html:
    """Return a table with id, state, code and how to get the code back."""
    run, head = manifest.run, manifest.code.head
    rows = [("run", code(run.id))]
    rows += [("name", joined([run.name]))] if run.name is not None else []
    rows.append(("state", joined([state])))
    if head is not None:
        dirty = ", dirty" if manifest.code.dirty else ""
        rows.append(("commit", joined([code(head.commit.hex), dirty])))
    rows.append(("tree", code(manifest.code.snapshot_tree.hex)))
    if manifest.code.obstacles:
        rows += [("not reproducible", joined([each.message])) for each in manifest.code.obstacles]
    else:
        rows.append(("get it back", code(f"git coderepo fetch {run.id} code")))
    return element(
        "table", *(element("tr", element("th", name, scope="row"), element("td", value)) for name, value in rows)
    )
