"""GitLab, gitlab.com and self-hosted: https://docs.gitlab.com/api/"""

from __future__ import annotations

from git_coderepo.errors import UnexpectedAnswer
from git_coderepo.git.objects import DIRECTORY, GITLINK, ObjectId, TreeEntry, tree_objects
from git_coderepo.platforms.base import Archive, CIVariables, CommitTree, Option, TokenVariable
from git_coderepo.platforms.hosted import HostedRepository, Site, TokenFacts, listed_rows, no_directory, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

    from git_coderepo.credentials.secret import Credential
    from git_coderepo.transport.http import Http

# Rows of a tree that are taken from the API, directories included: as many as a runner writes.
_MOST_ROWS = 1_000_000
JOB_USER = "gitlab-ci-token"  # git's user name for CI_JOB_TOKEN
DEPLOY_USER = "gitlab+deploy-token"  # how the names begin that GitLab gives to deploy tokens


class GitLab(HostedRepository):
    """GitLab through the REST API, version 4; the instance may stand below a path, groups may be nested."""

    type = "gitlab"
    title = "GitLab"
    hosts = ("gitlab.com",)
    default_host = "gitlab.com"
    options = (
        Option("group", "the group or user, `a/b/c` for nested groups; taken from the remote"),
        Option("project", "the project's name; taken from the remote"),
        Option("instance_url", "the URL of a self-hosted instance, with its path if it has one; follows from --host"),
        Option("host", "the host of the instance; taken from the remote, else gitlab.com"),
        Option("token", "an access token; use @FILE, - or {{secret.key}} to keep it off the command line", secret=True),
    )
    host_aliases: ClassVar = {("altssh.gitlab.com", 443): "gitlab.com"}
    ci = CIVariables(
        marker=("GITLAB_CI", "true"), commit="CI_COMMIT_SHA", server="CI_SERVER_URL", repository="CI_PROJECT_PATH"
    )
    token_variables = (
        TokenVariable("GITLAB_TOKEN", host_variables=("GITLAB_HOST",), default_host="gitlab.com"),
        TokenVariable(
            "CI_JOB_TOKEN", host_variables=("CI_SERVER_URL", "CI_SERVER_HOST"), default_host=None, user=JOB_USER
        ),
    )
    scopes = "'read_api' and 'read_repository'"
    token_help = (
        "Preferences, Access tokens: choose the scopes 'read_api' and 'read_repository' "  # noqa: S105
        "(https://gitlab.com/-/user_settings/personal_access_tokens)"
    )
    # Five a minute: https://docs.gitlab.com/administration/settings/import_export_rate_limits/
    limits_archives: ClassVar = True
    headers: ClassVar = {"Accept": "application/json, application/gzip, application/octet-stream;q=0.9"}

    @property
    def site(self) -> Site:
        given = self.option("instance_url") or self.option("host")
        return self.site_from(Site.parse(given) if given is not None else None)

    @property
    def path(self) -> str:
        return self.path_from(self.option("group"), self.option("project"), self.site.root)

    def without_page(self, path: str) -> str:
        return path.partition("/-/")[0]

    @property
    def api_url(self) -> str:
        return f"{self.site.url}/api/v4"

    def has_usual_api(self) -> bool:
        return self.site.root == ""

    def access_url(self) -> str:
        return f"{self.api_url}/projects/{quoted(self.path, safe=b'')}"

    def commit_url(self, commit: ObjectId) -> str:
        return f"{self.access_url()}/repository/commits/{commit}"

    def archive_url(self, commit: ObjectId, path: bytes) -> str:
        # LFS objects are in the archive by default: then it would not be the tree.
        part = f"&path={quoted(path)}" if self.archive_covers(path) else ""
        return f"{self.access_url()}/repository/archive.tar.gz?sha={commit}&include_lfs_blobs=false{part}"

    def archive_covers(self, path: bytes) -> bytes:
        try:
            path.decode()
        except UnicodeDecodeError:
            return b""  # a parameter is UTF-8: ask for everything
        return path

    def web_url(self, commit: ObjectId) -> str | None:
        return f"{self.site.url}/{quoted(self.path)}/-/commit/{commit}"

    def token_page(self) -> str:
        return f"{self.site.url}/-/user_settings/personal_access_tokens"

    def git_credential_user(self) -> str | None:
        return "oauth2"

    def recorded_options(self) -> Mapping[str, str]:
        group, _, project = self.path.rpartition("/")
        return {**super().recorded_options(), "group": group, "project": project, "instance_url": self.site.url}

    def authorize(self, credential: Credential) -> tuple[str, str]:
        if credential.user == JOB_USER:
            return "JOB-TOKEN", credential.secret.reveal()
        return super().authorize(credential)

    def only_git_may(self) -> bool:
        """Return whether the token is a job or deploy token, which may not use the API for projects and archives."""
        credential = self.credential()
        user = (credential.user or "") if credential is not None else ""
        return user == JOB_USER or user.startswith(DEPLOY_USER)

    def login(self) -> None:
        if self.only_git_may():
            from git_coderepo.transport.git_remote import check_access

            check_access(self)
            return
        super().login()

    def token_facts(self) -> TokenFacts:
        """Ask https://docs.gitlab.com/api/personal_access_tokens/#self-inform, which any token may."""
        if self.credential() is None or self.only_git_may():
            return super().token_facts()
        response = self.get(f"{self.api_url}/personal_access_tokens/self")
        date = response.headers.get("date")
        if response.status != 200 or "json" not in response.content_type:
            response.close()
            return TokenFacts(scopes=None, expires=None, date=date)
        answer = response.json()
        scopes, expires = answer.get("scopes"), answer.get("expires_at")
        return TokenFacts(
            scopes=tuple(map(str, scopes)) if isinstance(scopes, list) else None,
            expires=expires if isinstance(expires, str) else None,
            date=date,
        )

    def open_archive(self, commit: ObjectId, path: bytes, *, max_wait: float | None = None) -> Archive | None:
        if self.only_git_may():
            return None
        return super().open_archive(commit, path, max_wait=max_wait)

    def has_commit(self, commit: ObjectId) -> bool | None:
        if self.only_git_may():
            from git_coderepo.transport.git_remote import serves_commit

            return serves_commit(self, commit)
        return super().has_commit(commit)

    def describe_tree(self, commit: ObjectId, path: bytes) -> CommitTree | None:
        """Return a tree by https://docs.gitlab.com/api/repositories/#list-repository-tree, page by page.

        GitLab names the tree of no commit: it is computed from all paths, and each directory that is listed must have
        the id that its own paths make, so that a listing that is cut off is found out.
        """
        if self.only_git_may():
            return None
        rows = self._tree_rows(commit, path)
        if not rows and path:
            raise no_directory(commit, path)
        prefix = path + b"/" if path else b""
        entries, directories = [], {}
        for name, mode, id in rows:
            if not name.startswith(prefix):
                raise UnexpectedAnswer(f"'{self.api_origin()}' lists paths that were not requested")
            if mode == DIRECTORY:
                directories[name[len(prefix) :]] = id
            else:
                entries.append(TreeEntry(name[len(prefix) :], mode, id))
        made = {name: id for name, (id, _) in tree_objects(entries, commit.object_format).items()}
        root = made.pop(b"")
        if made != directories:
            raise UnexpectedAnswer(
                f"'{self.api_origin()}' returned an incomplete or wrong listing of the commit {commit}",
                hints=["install git, which can fetch the tree itself"],
            )
        gitlinks = {entry.path: entry.id for entry in entries if entry.mode == GITLINK}
        return CommitTree(ObjectId.from_raw(root), gitlinks)

    def _tree_rows(self, commit: ObjectId, path: bytes) -> list[tuple[bytes, int, bytes]]:
        url = f"{self.access_url()}/repository/tree"
        where = f"&path={quoted(path)}" if path else ""
        query = f"ref={commit}&recursive=true&per_page=100&pagination=keyset{where}"
        seen: set[str] = set()
        rows: list[tuple[bytes, int, bytes]] = []
        while query not in seen and len(rows) <= _MOST_ROWS:
            seen.add(query)
            response = self.answer_about(commit, f"{url}?{query}")
            rows += listed_rows(response.rows(), response, "id")
            # https://docs.gitlab.com/api/rest/#pagination: the last page has no next one. Its URL may name the project
            # by its number; the query says what is next.
            import re

            following = re.search(r'<[^>?]*\?([^>]*)>; *rel="next"', response.headers.get("link", ""))
            if following is None:
                return rows
            query = following[1]
        raise UnexpectedAnswer(f"'{self.api_origin()}' returned an endless listing of the commit {commit}")

    def read_file(self, commit: ObjectId, path: str) -> bytes | None:
        if self.only_git_may():
            return None
        return self.file_contents(f"{self.access_url()}/repository/files/{quoted(path, safe=b'')}?ref={commit}")

    def resolve(self, revision: str) -> ObjectId | None:
        if self.only_git_may():
            return None
        return self.revision(f"{self.access_url()}/repository/commits/{quoted(revision, safe=b'')}", "id")

    @classmethod
    def recognises(cls, http: Http, site: Site) -> bool:
        """Return whether an unknown host is GitLab, whose `GET /version` is 401 in JSON without a credential."""
        response = http.get(f"{site.url}/api/v4/version", cls.headers)
        if response.status not in (200, 401) or "json" not in response.content_type:
            response.close()
            return False
        answer = response.json()
        return "version" in answer if response.status == 200 else str(answer.get("message", "")).startswith("401")
