"""GitHub and GitHub Enterprise: https://docs.github.com/rest"""

from __future__ import annotations

from git_coderepo.errors import CodeRepoError, RateLimited, UnexpectedAnswer
from git_coderepo.git.objects import DIRECTORY, GITLINK, ObjectId, TreeEntry, one_tree_id, tree_id
from git_coderepo.git.url.remote import Origin
from git_coderepo.platforms.base import CIVariables, CommitTree, Option, TokenVariable
from git_coderepo.platforms.hosted import HostedRepository, Site, TokenFacts, listed_rows, no_directory, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

    from git_coderepo.credentials.secret import Credential
    from git_coderepo.transport.http import Authorize, Http, Response

_LONGEST_REFUSAL = 1 << 16  # bytes
_TENANTS = ".ghe.com"  # data residency: https://SUB.ghe.com with its API at https://api.SUB.ghe.com


class GitHub(HostedRepository):
    """GitHub, Enterprise Server and Enterprise Cloud, through the REST API, version 2022-11-28."""

    type = "github"
    title = "GitHub and GitHub Enterprise"
    hosts = ("github.com",)
    host_suffixes = (_TENANTS,)
    default_host = "github.com"
    options = (
        Option("owner", "the user or organization; taken from the remote"),
        Option("repository", "the repository's name; taken from the remote"),
        Option(
            "api_url", "the URL of the API, or its host; follows from --host, https://api.github.com for github.com"
        ),
        Option("host", "the host of the repositories; taken from the remote, else github.com"),
        Option(
            "token",
            "a personal access token; use @FILE, - or {{secret.key}} to keep it off the command line",
            secret=True,
        ),
    )
    host_aliases: ClassVar = {("ssh.github.com", 443): "github.com"}
    credential_aliases: ClassVar = {"https://api.github.com": "https://github.com"}
    ci = CIVariables(
        marker=("GITHUB_ACTIONS", "true"),
        commit="GITHUB_SHA",
        server="GITHUB_SERVER_URL",
        repository="GITHUB_REPOSITORY",
    )
    token_variables = (
        TokenVariable("GH_TOKEN", host_variables=("GITHUB_SERVER_URL",), default_host="github.com"),
        TokenVariable("GITHUB_TOKEN", host_variables=("GITHUB_SERVER_URL",), default_host="github.com"),
        TokenVariable("GH_ENTERPRISE_TOKEN", host_variables=("GH_HOST",), default_host=None),
    )
    scopes = "'Contents: read' on the repository (fine-grained), or 'repo' (classic)"
    token_help = (
        "Settings, Developer settings, Personal access tokens, Fine-grained tokens: choose the repository and "  # noqa: S105
        "'Contents: read-only' (https://github.com/settings/personal-access-tokens/new)"
    )
    headers: ClassVar = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    # 409: an empty repository; 422: no object of that name.
    commit_missing = frozenset((404, 409, 422))

    @property
    def site(self) -> Site:
        host, api = self.option("host"), self.option("api_url")
        if host is not None:
            return self.site_from(Site.parse(host))
        if api is not None and self.remote is None:
            return self.site_from(_site_of_api(Site.parse(api)))
        return self.site_from(None)

    @property
    def path(self) -> str:
        return self.path_from(self.option("owner"), self.option("repository"))

    def without_page(self, path: str) -> str:
        return "/".join(path.split("/")[:2])

    @property
    def api_url(self) -> str:
        given = self.option("api_url")
        if given is None:
            return _api_of_site(self.site)
        api = Site.parse(given)
        return api.url if api.root or _is_api_host(api.host) else _api_of_site(api)

    def has_usual_api(self) -> bool:
        return self.api_url == _api_of_site(self.site)

    def access_url(self) -> str:
        return f"{self.api_url}/repos/{quoted(self.path)}"

    def commit_url(self, commit: ObjectId) -> str:
        return f"{self.access_url()}/git/commits/{commit}"

    def archive_url(self, commit: ObjectId, path: bytes) -> str:
        return f"{self.access_url()}/tarball/{commit}"

    def web_url(self, commit: ObjectId) -> str | None:
        return f"{self.site.url}/{quoted(self.path)}/commit/{commit}"

    def token_page(self) -> str:
        return f"{self.site.url}/settings/personal-access-tokens/new"

    def git_credential_user(self) -> str | None:
        return "x-access-token"

    def credential_origin(self, origin: Origin) -> Origin | None:
        if origin.host.startswith("api.") and origin.host.endswith(_TENANTS):
            return Origin.parse(f"https://{origin.host.removeprefix('api.')}")
        return super().credential_origin(origin)

    def recorded_options(self) -> Mapping[str, str]:
        owner, _, repository = self.path.rpartition("/")
        return {
            **self.recorded_host(),
            **super().recorded_options(),
            "owner": owner,
            "repository": repository,
            "api_url": self.api_url,
        }

    def token_facts(self) -> TokenFacts:
        """Return what the headers say: the scopes of a classic token, and the end of one that expires.

        https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
        https://docs.github.com/authentication/keeping-your-account-and-data-secure/token-expiration-and-revocation
        """
        response = self.get(self.access_url())
        response.close()
        scopes = response.headers.get("x-oauth-scopes") if response.credential is not None else None
        return TokenFacts(
            scopes=None if scopes is None else tuple(each.strip() for each in scopes.split(",") if each.strip()),
            expires=response.headers.get("github-authentication-token-expiration"),
            date=response.headers.get("date"),
        )

    def login(self) -> None:
        super().login()
        # Any token may read a repository's metadata; its contents want a permission of their own, which this asks for:
        # https://docs.github.com/rest/commits/commits#get-a-commit. An empty repository has none; its body is not read.
        # Any other answer, a server's failure among them, says nothing of the permission: then nothing is verified.
        response = self.get(f"{self.access_url()}/commits/HEAD")
        if response.status != 200 and response.status not in self.commit_missing:
            raise self.refusal(response)
        response.close()

    def get(
        self,
        url: str,
        *,
        expects_archive: bool = False,
        authorize: Authorize | None = None,
        max_wait: float | None = None,
    ) -> Response:
        response = super().get(url, expects_archive=expects_archive, authorize=authorize, max_wait=max_wait)
        if expects_archive and response.status == 401 and response.credential is not None:
            # Some fine-grained tokens were answered 401 here as Bearer and 302 as `token`: one retry.
            response.close()
            response = super().get(url, expects_archive=True, authorize=_token_scheme, max_wait=max_wait)
        return response

    def commit_tree(self, commit: ObjectId) -> ObjectId | None:
        tree = self.commit_answer(commit).get("tree")
        sha = tree.get("sha") if isinstance(tree, dict) else None
        if not isinstance(sha, str):
            raise UnexpectedAnswer(f"'{self.api_origin()}' did not return the tree of the commit '{commit}'")
        return ObjectId(sha)

    def describe_tree(self, commit: ObjectId, path: bytes) -> CommitTree | None:
        """Return a tree by https://docs.github.com/rest/git/trees; each listing is compared with its tree's id."""
        tree = self.commit_tree(commit)
        if tree is None:
            return None
        rows = self._tree_rows(commit, tree, recursive=False)
        has_submodules = any(name == b".gitmodules" for name, _, _ in rows)
        for name in path.split(b"/") if path else ():
            inner = next((id for found, mode, id in rows if found == name and mode == DIRECTORY), None)
            if inner is None:
                raise no_directory(commit, path)
            tree = ObjectId.from_raw(inner)
            rows = self._tree_rows(commit, tree, recursive=False)
        if not has_submodules:
            return CommitTree(tree, {})
        rows = self._tree_rows(commit, tree, recursive=True)
        return CommitTree(tree, {found: id for found, mode, id in rows if mode == GITLINK})

    def _tree_rows(self, commit: ObjectId, tree: ObjectId, *, recursive: bool) -> list[tuple[bytes, int, bytes]]:
        response = self.answer_about(
            commit, f"{self.access_url()}/git/trees/{tree}{'?recursive=1' if recursive else ''}"
        )
        answer = response.json()
        if answer.get("truncated"):
            raise UnexpectedAnswer(
                f"'{response.origin}' lists only a part of the tree {tree}, which is too large for its API",
                hints=["install git, which can fetch the tree itself"],
            )
        rows = listed_rows(answer.get("tree"), response, "sha")
        if recursive:
            entries = [TreeEntry(*row) for row in rows if row[1] != DIRECTORY]
            made = tree_id(entries, tree.object_format)
        else:
            made = one_tree_id(rows, tree.object_format)
        if made != tree:
            raise UnexpectedAnswer(
                f"'{response.origin}' returned a listing that does not match the tree {tree}",
                hints=["install git, which can fetch the tree itself"],
            )
        return rows

    def read_file(self, commit: ObjectId, path: str) -> bytes | None:
        return self.file_contents(f"{self.access_url()}/contents/{quoted(path)}?ref={commit}")

    def resolve(self, revision: str) -> ObjectId | None:
        return self.revision(f"{self.access_url()}/commits/{quoted(revision)}", "sha")

    def tree_entries(self, tree: ObjectId) -> Mapping[bytes, tuple[int, bytes]] | None:
        # https://docs.github.com/rest/git/trees#get-a-tree
        response = self.get(f"{self.access_url()}/git/trees/{tree}")
        if response.status != 200:
            response.close()
            return None
        answer = response.json()
        if answer.get("truncated"):
            return None
        return {name: (mode, id) for name, mode, id in listed_rows(answer.get("tree"), response, "sha")}

    def refusal(self, response: Response) -> CodeRepoError:
        # A secondary limit may name no time:
        # https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
        if response.status == 403 and b"rate limit" in response.download().read(_LONGEST_REFUSAL).lower():
            response.close()
            return RateLimited(
                f"'{response.origin}' limits requests and does not say for how long", hints=["try again in a minute"]
            )
        return super().refusal(response)

    def scope_hints(self, response: Response) -> list[str]:
        # https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api: single sign-on
        if response.headers.get("x-github-sso"):
            return [f"authorize the token for single sign-on at {self.site.url}/settings/tokens"]
        return super().scope_hints(response)

    @classmethod
    def recognises(cls, http: Http, site: Site) -> bool:
        """Return whether an unknown host is GitHub Enterprise, whose `GET /meta` needs no credential."""
        response = http.get(f"{_api_of_site(site)}/meta", cls.headers)
        response.close()
        named = any(name in response.headers for name in ("x-github-enterprise-version", "x-github-request-id"))
        return named and response.status in (200, 401, 403) and "json" in response.content_type


def _token_scheme(credential: Credential) -> tuple[str, str]:
    return "Authorization", f"token {credential.secret.reveal()}"


def _is_api_host(host: str) -> bool:
    return host == "api.github.com" or (host.startswith("api.") and host.endswith(_TENANTS))


def _api_of_site(site: Site) -> str:
    if site.host == "github.com":
        return "https://api.github.com"
    if site.host.endswith(_TENANTS):
        return f"https://api.{site.authority}"
    return f"{site.scheme}://{site.authority}/api/v3"


def _site_of_api(api: Site) -> Site:
    if _is_api_host(api.host):
        return Site("https", api.host.removeprefix("api."), api.port)
    return Site(api.scheme, api.host, api.port)
