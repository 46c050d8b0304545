"""Unpacking an archive with the standard library: the last resort, slower than the runner's own reader."""

from __future__ import annotations

import os

from git_coderepo.errors import DownloadDamaged, MethodUnavailable, UnsafeTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.platforms.base import Archive


def unpack(archive: Archive, directory: str, path: bytes = b"") -> None:
    """Write an archive's files below `directory`; those of one directory of the repository, if `path` names one.

    Raises UnsafeTree for a member that would leave `directory`, DownloadDamaged for one that is cut off.
    """
    import tarfile
    import zlib

    if not hasattr(tarfile, "data_filter"):
        raise MethodUnavailable(
            "this Python is too old to unpack an archive safely",
            hints=["use git instead: git coderepo fetch --method git RUN DIR"],
        )
    wanted = os.fsdecode(path)
    try:
        with tarfile.open(fileobj=archive.stream, mode="r|gz", errors="surrogateescape") as tar:
            for member in tar:
                name = member.name.partition("/")[2] if archive.top_directory else member.name
                if wanted:
                    inside = name.startswith(f"{wanted}/")
                    name = name.removeprefix(f"{wanted}/") if inside else ""
                if name:
                    tar.extract(member.replace(name=name, deep=False), directory, set_attrs=True, filter="data")
    except tarfile.FilterError as error:
        raise UnsafeTree(f"the archive has a member that is not safe: {error}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DownloadDamaged(f"the archive is damaged: {error}", hints=["try again"]) from None
