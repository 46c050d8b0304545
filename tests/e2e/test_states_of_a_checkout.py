"""Every state in which a checkout can be: what is recorded, by what it is known, and that a runner gets it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import Machine, World, load, refused, world
from tests.forge import Forge
from tests.support.repo import Repo


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("states"), "file") as place:
        yield place


class Story:
    """A new clone for each test, and what its manifest says."""

    def __init__(self, place: World, repo: Repo, number: int) -> None:
        self.place = place
        self.repo = repo
        self.number = number
        self.manifest = place.runner.home / "unwritten.json"
        self.records = 0

    def recorded(self, *arguments: str, tree: str | None = None, cwd: str = "", **env: str) -> Any:
        """Snapshot, fetch on the runner, compare with git; gives the manifest."""
        expected = tree if tree is not None else self.repo.tree()
        where = self.repo.path / cwd
        self.records += 1
        self.manifest = self.place.runner.home / f"{self.number}-{self.records}.json"
        self.place.user.run("snapshot", "-o", self.manifest, *arguments, cwd=where, env=env)
        document = load(self.manifest)
        assert document["code"]["snapshot"]["tree"] == expected
        target = self.place.runner.home / f"code {self.number}-{self.records}"
        receipt = self.place.runner.run("fetch", "--json", self.manifest, target).json()
        assert receipt["tree"] == expected
        assert self.place.runner.tree(target, document["code"]["objectFormat"]) == expected
        return document

    def status(self, *arguments: str, **env: str) -> Any:
        return self.place.user.run("status", "--json", *arguments, cwd=self.repo.path, env=env).json()


@pytest.fixture
def story(made: World, request: pytest.FixtureRequest) -> Story:
    number = len(list(made.user.home.iterdir()))
    return Story(made, made.clone(f"checkout {number}"), number)


@pytest.mark.slow
def test_clean(story: Story) -> None:
    code = story.recorded()["code"]
    assert (code["dirty"], code["overlay"], code["changes"]["unpushed"]) == (False, None, 0)
    assert code["base"]["commit"] == code["head"]["commit"] == story.repo.head()
    assert (code["base"]["knownBy"], code["base"]["archive"], code["head"]["branch"]) == (
        "remote-tracking",
        "exact",
        "main",
    )
    assert story.status()["reproducible"] is True
    said = story.place.user.run("status", "-v", cwd=story.repo.path).text
    assert "clean" in said and "yes, on this machine only: the remote is a path" in said


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ("staged", (1, 0, 0)),
        ("unstaged", (0, 1, 0)),
        ("untracked", (0, 0, 1)),
        ("deleted", (0, 1, 0)),
        ("deleted from the index too", (1, 0, 0)),
        ("deleted from the index alone", (1, 0, 1)),
        ("renamed", (2, 0, 0)),
        ("mode", (0, 1, 0)),
        ("staged, then edited", (1, 1, 0)),
        ("staged, then edited back", (1, 1, 0)),
        ("intended", (0, 1, 0)),
    ],
)
def test_each_kind_of_change_is_counted_and_carried(story: Story, change: str, counts: tuple[int, int, int]) -> None:
    """Z5, P7: ZenML records nothing of a dirty checkout; others glue two diffs together."""
    repo = story.repo
    original = repo.read("train.py")
    match change:
        case "staged":
            repo.write("train.py", "staged\n")
            repo.git("add", "train.py")
        case "unstaged":
            repo.write("train.py", "unstaged\n")
        case "untracked":
            repo.write("new é.txt", "untracked\n")
        case "deleted":
            repo.remove("train.py")
        case "deleted from the index too":
            repo.git("rm", "--quiet", "train.py")
        case "deleted from the index alone":
            repo.git("rm", "--quiet", "--cached", "train.py")
        case "renamed":
            repo.git("mv", "train.py", "learn.py")
        case "mode":
            os.chmod(repo.file("train.py"), 0o755)
        case "staged, then edited" | "staged, then edited back":
            repo.write("train.py", "staged\n")
            repo.git("add", "train.py")
            repo.write("train.py", "edited\n" if change.endswith("edited") else original)
        case "intended":
            repo.write("new.txt", "not added yet\n")
            repo.git("add", "--intent-to-add", "new.txt")
    changes = story.recorded()["code"]["changes"]
    assert (changes["staged"], changes["unstaged"], changes["untracked"]) == counts
    if change in ("staged, then edited back", "deleted from the index alone"):
        assert load(story.manifest)["code"]["dirty"] is False, "by tree it is clean"
        said = story.place.user.run("status", "-v", cwd=story.repo.path).text
        assert "the index differs" in said or "staged" in said


def test_a_merge_with_conflicts(story: Story) -> None:
    repo = story.repo
    repo.git("checkout", "--quiet", "-b", "topic")
    repo.write("train.py", "theirs\n")
    repo.commit("theirs")
    repo.git("checkout", "--quiet", "main")
    repo.write("train.py", "ours\n")
    repo.commit("ours")
    repo.git("merge", "topic", check=False)
    assert b"<<<<<<<" in repo.read("train.py")
    code = story.recorded()["code"]
    assert code["changes"]["unpushed"] == 1
    assert code["dirty"] is True


@pytest.mark.slow
def test_detached_head(story: Story) -> None:
    """Z4: every CI's checkout; ZenML raises."""
    story.repo.git("checkout", "--quiet", "--detach")
    head = story.recorded()["code"]["head"]
    assert head["branch"] is None
    assert "(detached)" in story.place.user.run("status", "-v", cwd=story.repo.path).text
    story.repo.write("train.py", "lr = 9\n")
    story.repo.commit("on no branch")
    assert story.recorded()["code"]["changes"]["unpushed"] == 1


def test_no_commit_yet(made: World) -> None:
    """Z4: ZenML raises. The whole tree travels."""
    repo = Repo.init(made.user.home / "unborn", made.user.env)
    story = Story(made, repo, 501)
    empty = story.recorded()
    assert empty["code"]["head"] is empty["code"]["base"] is empty["repository"] is None
    repo.write("first file.py", "x = 1\n")
    repo.write("second.py", "x = 2\n")
    repo.git("add", "second.py")
    document = story.recorded()
    assert document["code"]["overlay"]["files"] == 2
    assert "no commit yet" in made.user.run("status", "-v", cwd=repo.path).text


def test_no_remote(story: Story) -> None:
    """Z4: the whole tree travels, commits or not."""
    story.repo.git("remote", "remove", "origin")
    document = story.recorded()
    assert document["repository"] is None
    assert document["code"]["base"] is None
    assert document["code"]["overlay"]["files"] == 4
    assert "none: the whole tree travels" in story.place.user.run("status", cwd=story.repo.path).text


@pytest.mark.slow
def test_a_shallow_clone(made: World) -> None:
    """The boundary came from the remote, whatever the tracking references say."""
    author = made.clone("author of many")
    for number in range(3):
        author.write("train.py", f"lr = {number}\n")
        author.commit(f"number {number}")
    made.push(author, "HEAD:refs/heads/many")
    repo = made.clone("shallow", "--depth=1", "--branch=many", "--no-local")
    assert repo.line("rev-parse", "--is-shallow-repository") == "true"
    story = Story(made, repo, 503)
    assert story.recorded()["code"]["base"]["knownBy"] == "remote-tracking"
    for name in repo.line("for-each-ref", "--format=%(refname)", "refs/remotes").split():
        repo.git("update-ref", "--no-deref", "-d", name)
    repo.write("train.py", "lr = 100\n")
    repo.commit("unpushed")
    code = story.recorded()["code"]
    assert (code["base"]["knownBy"], code["changes"]["unpushed"]) == ("shallow", 1)
    assert code["base"]["commit"] == author.head()


def test_a_linked_worktree(story: Story) -> None:
    story.place.user.run("register", "mine", cwd=story.repo.path)
    story.repo.git("worktree", "add", "--quiet", "-b", f"linked{story.number}", f"../linked {story.number}")
    linked = Repo(story.place.user.home / f"linked {story.number}", story.repo.env)
    linked.write("train.py", "lr = 7\n")
    document = Story(story.place, linked, story.number + 1000).recorded()
    assert document["repository"]["name"] == "mine"
    assert document["code"]["head"]["branch"] == f"linked{story.number}"


@pytest.mark.slow
def test_a_commit_as_it_is(story: Story) -> None:
    """Nothing of the work tree counts."""
    story.repo.write("train.py", "lr = 5\n")
    commit = story.repo.commit("second")
    story.repo.write("train.py", "not this\n")
    for rev, unpushed in ((commit, 1), ("HEAD~1", 0), ("main", 1), ("HEAD", 1)):
        tree = story.repo.line("rev-parse", f"{rev}^{{tree}}")
        code = story.recorded(rev, tree=tree)["code"]
        assert code["changes"]["unpushed"] == unpushed
        assert code["dirty"] is False
    assert code["head"]["commit"] == commit
    refused(
        story.place.user,
        "snapshot",
        "no-such-branch",
        cwd=story.repo.path,
        status=128,
        says="unknown revision 'no-such-branch'",
        hint="git log",
    )


def test_a_commit_of_a_bare_repository(made: World) -> None:
    bare = made.user.home / "bare.git"
    Repo.clone(f"file://{made.repository.path}", bare, made.user.env, "--mirror")
    story = Story(made, Repo(bare, made.user.env), 505)
    tree = story.repo.line("rev-parse", "main^{tree}")
    story.recorded("main", tree=tree)
    asked = ("snapshot",)
    refused(made.user, *asked, cwd=bare, status=128, says="this is a bare repository", hint="git coderepo snapshot REV")


@pytest.mark.slow
def test_below_the_root(story: Story) -> None:
    story.repo.write("services/train dir/main.py", "x = 1\n")
    document = story.recorded(cwd="services/train dir")
    assert document["run"]["directory"] == "services/train dir"
    assert document["code"]["subdirectory"]["path"] == "."
    assert story.recorded(cwd="docs")["run"]["directory"] == "docs"


def test_a_sha256_repository(tmp_path: Path) -> None:
    with world(tmp_path, "file", object_format="sha256") as place:
        place.checkout.write("train.py", "lr = 3\n")
        place.checkout.commit("unpushed")
        place.checkout.write("new.txt", "x\n")
        code = Story(place, place.checkout, 1).recorded()["code"]
        assert code["objectFormat"] == "sha256"
        assert {len(code["base"][key]) for key in ("commit", "tree")} == {64}


def test_a_commit_pushed_under_another_name(story: Story) -> None:
    """Z4: ZenML compares with the branch of the same name and counts it as local."""
    story.repo.git("checkout", "--quiet", "-b", f"my-name-{story.number}")
    story.repo.write("train.py", "lr = 4\n")
    commit = story.repo.commit("pushed elsewhere")
    story.repo.git("push", "--quiet", "origin", f"HEAD:refs/heads/their-name-{story.number}")
    base = story.recorded()["code"]["base"]
    assert (base["commit"], base["knownBy"]) == (commit, "remote-tracking")


@pytest.mark.slow
def test_a_branch_that_was_deleted_upstream(story: Story) -> None:
    """Z4: what the tracking reference says is old; --check asks, and another branch may still have the commit."""
    name = f"doomed-{story.number}"
    story.repo.git("checkout", "--quiet", "-b", name)
    story.repo.write("train.py", f"lr = {name}\n")
    commit = story.repo.commit("doomed")
    story.repo.git("push", "--quiet", "origin", name)
    place = story.place
    place.repository.git("update-ref", "-d", f"refs/heads/{name}")
    place.repository.prune()
    assert story.status()["reproducible"] is True, "as far as it is known here"
    checked = story.status("--check")
    assert checked["reproducible"] is False
    assert commit in checked["problem"]["message"]
    story.repo.git("fetch", "--quiet", "--prune")
    assert story.recorded()["code"]["base"]["commit"] == place.base, "the commit travels, on the base that is left"
    assert story.status("--check")["base"]["knownBy"] == "platform"


@pytest.mark.slow
def test_a_push_url_that_differs(story: Story) -> None:
    """A tracking reference then says what was pushed elsewhere; the platform has to be asked."""
    other = Repo.clone(
        f"file://{story.place.repository.path}", story.place.root / f"fork {story.number}", story.repo.env, "--bare"
    )
    story.repo.git("remote", "set-url", "--push", "origin", f"file://{other.path}")
    story.repo.write("train.py", "lr = 8\n")
    commit = story.repo.commit("in the fork only")
    story.repo.git("push", "--quiet", "origin", "HEAD:main")
    unknown = story.recorded()["code"]
    assert unknown["base"] is None, "nothing is known to be served: everything travels"
    checked = story.status("--check")
    assert checked["base"] is None or checked["base"]["commit"] != commit
    story.repo.git("reset", "--quiet", "--hard", story.place.base)
    assert story.status("--check")["base"] == {
        "commit": story.place.base, "knownBy": "platform", "unpushed": 0, "archive": "exact",
    }  # fmt: skip


@pytest.mark.parametrize(("depth", "known_by"), [([], "fetch-head"), (["--depth=1"], "shallow")])
def test_fetch_head_only(made: World, depth: list[str], known_by: str) -> None:
    """As `actions/checkout` and git-sync do: no branch, no tracking reference."""
    repo = Repo.init(made.user.home / f"fetched {known_by}", made.user.env)
    repo.git("remote", "add", "origin", made.url)
    repo.git("fetch", "--quiet", *depth, made.url, made.base)
    repo.git("checkout", "--quiet", "FETCH_HEAD")
    repo.write("train.py", "lr = 6\n")
    code = Story(made, repo, 506 + len(depth) * 100).recorded()["code"]
    assert (code["base"]["commit"], code["base"]["knownBy"]) == (made.base, known_by)


@pytest.mark.slow
def test_the_variables_of_a_ci(tmp_path: Path) -> None:
    """A detached checkout of a merge commit that no branch holds, as pull requests get it."""
    for platform, variables in (
        ("github", ("GITHUB_ACTIONS", "GITHUB_SHA", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY")),
        ("gitlab", ("GITLAB_CI", "CI_COMMIT_SHA", "CI_SERVER_URL", "CI_PROJECT_PATH")),
    ):
        with world(tmp_path / platform, platform) as place:
            author = place.clone("author")
            author.write("train.py", "merged\n")
            merge = author.commit("Merge 1 into 2")
            place.push(author, "HEAD:refs/pull/1/merge")
            repo = Repo.init(place.user.home / "workspace", place.user.env)
            repo.git("remote", "add", "origin", place.url)
            repo.git("fetch", "--quiet", f"file://{place.repository.path}", "refs/pull/1/merge")
            repo.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
            (repo.git_dir() / "FETCH_HEAD").unlink()
            env = dict(zip(variables, ("true", merge, place.forge.url, "acme/widgets"), strict=True))

            story = Story(place, repo, 1)
            document = story.recorded(**env)
            assert document["repository"]["type"] == platform, "the CI's server is known"
            assert (document["code"]["base"]["commit"], document["code"]["base"]["knownBy"]) == (merge, "ci")

            fork = story.status(**{**env, variables[3]: "somebody/widgets"})
            assert fork["base"] is None, "the variables of another repository's job say nothing"
            no_ci = story.status(**{**env, variables[0]: "false"})
            assert no_ci["base"] is None and no_ci["repository"]["type"] == "git"


def test_aliases_of_remotes(tmp_path: Path) -> None:
    """Z8: `insteadOf` is resolved by git; what is recorded holds on another machine."""
    with world(tmp_path, "gitlab", name="group/sub group/widgets".replace(" ", "-")) as place:
        place.checkout.git("config", "--global", f"url.{place.forge.url}/.insteadOf", "work:")
        place.checkout.git("remote", "set-url", "origin", "work:group/sub-group/widgets")
        said = place.register("mine").text
        assert f"registered 'mine': gitlab at {place.forge.url}/group/sub-group/widgets" in said
        manifest = place.manifest()
        remote = load(manifest)["repository"]["remote"]
        assert (remote["host"], remote["port"]) == ("127.0.0.1", place.forge.port)
        assert load(manifest)["repository"]["options"]["group"] == "group/sub-group"
        place.runner.run("fetch", manifest, "code")
        assert place.runner.tree("code") == place.checkout.tree()


@pytest.mark.slow
def test_other_spellings_of_a_remote_match_its_registration(tmp_path: Path) -> None:
    """Z8, and what is recorded is the same place without a secret (P3)."""
    with world(tmp_path, "github") as place:
        place.register("mine", "--host", place.forge.url, "--owner", "acme", "--repository", "widgets")
        authority = place.forge.url.partition("://")[2]
        for url in (
            f"{place.forge.url}/Acme/Widgets",
            f"{place.forge.url}/acme/widgets.git/",
            f"https://ada@{authority}/acme/widgets.git",
            f"https://x-access-token:tok@{authority}/acme/widgets.git",
            f"HTTPS://{authority}/acme/widgets/",
        ):
            place.checkout.git("remote", "set-url", "origin", url)
            answer = place.user.run("status", "--json", cwd=place.checkout.path).json()
            assert (answer["repository"]["name"], answer["repository"]["registered"]) == ("mine", True), url
            assert answer["base"]["commit"] == place.base
            assert "tok@" not in str(answer)

        place.checkout.git("config", "--unset", "coderepo.mine.remote")
        for url in (
            "https://127.0.0.1:444/acme/widgets.git",
            f"https://127x0.0.1:{place.forge.port}/acme/widgets.git",
            f"{place.forge.url}/acme/widgetss.git",
            f"{place.forge.url}/acme/widgets/more.git",
            f"{place.forge.url}/bcme/widgets",
        ):
            place.checkout.git("remote", "set-url", "origin", url)
            answer = place.user.run("status", "--json", cwd=place.checkout.path).json()
            assert (answer["repository"]["name"], answer["repository"]["registered"]) == ("origin", False), url


# --- which one is meant --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_which_registration_is_meant(story: Story) -> None:
    user = story.place.user
    here: dict[str, Any] = {"cwd": story.repo.path}
    mirror = f"file://{story.place.root}/mirror.git"
    Repo.clone(story.place.url, story.place.root / "mirror.git", story.repo.env, "--mirror")
    story.repo.git("remote", "add", "mirror", mirror)
    user.run("register", "first", **here)
    user.run("register", "second", "--remote", "mirror", **here)

    assert story.recorded()["repository"]["name"] == "first", "the one that the branch follows"
    assert story.recorded("--code-repository", "second")["repository"]["remote"]["path"] == mirror[7:]
    story.repo.git("config", "coderepo.default", "first")
    assert story.recorded()["repository"]["name"] == "first"
    assert story.recorded(CODEREPO_DEFAULT="second")["repository"]["name"] == "second"
    user.run("remove", "-y", "second", **here)
    story.repo.git("config", "--unset", "coderepo.default")
    assert story.recorded()["repository"]["name"] == "first", "the one whose remote matches"


def test_a_fetch_from_another_registration(story: Story) -> None:
    """The same tree may come from a mirror: what it is was proved by its id, not by its place."""
    user = story.place.user
    here: dict[str, Any] = {"cwd": story.repo.path}
    Repo.clone(story.place.url, story.place.root / f"mirror{story.number}.git", story.repo.env, "--mirror")
    story.repo.git("remote", "add", "mirror", f"file://{story.place.root}/mirror{story.number}.git")
    user.run("snapshot", "--code-repository", "origin", "-o", "../from origin.json", **here)
    story.repo.git("remote", "set-url", "origin", "file:///no/such/place")
    said = user.run("fetch", "--code-repository", "mirror", "../from origin.json", f"../code {story.number}", **here)
    assert f"tree {story.repo.tree()}, verified" in said.text


# --- what does not travel, and what does ----------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_left_out_is_named(story: Story) -> None:
    """P5, and what W&B's and MLflow's users miss: nothing is left out in silence."""
    repo = story.repo
    repo.write(".gitignore", "build/\n")
    repo.write("build/result.o", "ignored\n")
    repo.write(".env", "PASSWORD=1\n")
    repo.write("keys/id_rsa", "secret\n")
    repo.write("runs/1.log", "excluded\n")
    repo.write("a.txt", "travels\n")
    repo.git("config", "coderepo.exclude", "runs/")
    expected = tree_without(repo, ".env", "keys/id_rsa", "runs/1.log")
    document = story.recorded(tree=expected)
    assert document["code"]["omitted"] == [
        {"path": ".env", "reason": "secret-name"},
        {"path": "keys/id_rsa", "reason": "secret-name"},
        {"path": "runs/1.log", "reason": "excluded"},
    ]
    said = story.place.user.run("snapshot", cwd=repo.path).errors
    assert said == "warning: 'runs/1.log' does not travel (excluded)\n", "names of secrets are named once per checkout"
    assert story.place.user.run("status", cwd=repo.path).text.count("left out") == 3

    repo.git("config", "coderepo.untracked", "ignore")
    assert {each["path"] for each in story.recorded(tree=repo.line("rev-parse", "HEAD^{tree}"))["code"]["omitted"]} == {
        ".env", ".gitignore", "a.txt", "keys/id_rsa", "runs/1.log",
    }  # fmt: skip
    repo.git("config", "--unset", "coderepo.untracked")

    included = story.recorded("--include", "build", tree=tree_with(repo, expected, "build/result.o"))
    assert included["code"]["overlay"]["files"] == 3


def tree_without(repo: Repo, *paths: str) -> str:
    """What git says of the checkout, these untracked paths left out."""
    exclude = repo.git_dir() / "info" / "exclude"
    before = exclude.read_text()
    exclude.write_text(before + "".join(f"/{path}\n" for path in paths))
    try:
        return repo.tree()
    finally:
        exclude.write_text(before)


def tree_with(repo: Repo, tree: str, path: str) -> str:
    """A tree with one more file of the checkout."""
    scratch = Repo.init(repo.path.with_name(repo.path.name + " scratch"), repo.env)
    alternates = scratch.path / ".git/objects/info/alternates"
    alternates.write_text(f"{repo.path}/.git/objects\n{repo.path}/.git/coderepo/objects\n")
    scratch.git("read-tree", tree)
    scratch.write(path, repo.read(path))
    scratch.git("add", "--force", path)
    return scratch.line("write-tree")


def test_attributes_that_alter_an_archive_lead_to_git_at_once(tmp_path: Path) -> None:
    """An archive is not the tree: `export-ignore`, `export-subst` and `eol` are known before the download."""
    files = {
        ".gitattributes": b"secret.txt export-ignore\nversion.txt export-subst\n*.bat eol=crlf\n",
        "secret.txt": b"not in an archive\n",
        "version.txt": b"$Format:%H$\n",
        "run.bat": b"echo\n",
    }
    with world(tmp_path, "github", files=files) as place:
        place.register()
        manifest = place.manifest()
        assert load(manifest)["code"]["base"]["archive"] == "altered"
        place.forge.forget_requests()
        receipt = place.runner.run("fetch", "--json", manifest, "code").json()
        assert (receipt["method"], receipt["fallbacks"]) == ("git", [])
        assert place.forge.requests("archive") == []
        assert (place.runner.home / "code" / "version.txt").read_text() == "$Format:%H$\n"
        assert "a runner fetches with git" in place.user.run("status", "-v", cwd=place.checkout.path).text


# --- what the user's configuration makes of git's output --------------------------------------------------------

NOISE = {
    "diff.noprefix": "true",
    "diff.external": "/bin/false",
    "diff.renames": "copies",
    "diff.mnemonicPrefix": "true",
    "diff.ignoreSubmodules": "all",
    "color.ui": "always",
    "color.status": "always",
    "core.quotePath": "true",
    "core.pager": "/bin/false",
    "core.abbrev": "4",
    "core.ignoreCase": "false",
    "core.untrackedCache": "true",
    "core.preloadIndex": "true",
    "core.autocrlf": "false",
    "status.showUntrackedFiles": "no",
    "status.relativePaths": "true",
    "status.short": "true",
    "status.branch": "true",
    "status.renames": "copies",
    "status.displayCommentPrefix": "true",
    "log.showSignature": "true",
    "log.decorate": "full",
    "format.pretty": "fuller",
    "pager.status": "true",
    "pager.config": "true",
    "index.version": "4",
    "feature.manyFiles": "true",
    "safe.bareRepository": "explicit",
    "fetch.prune": "true",
    "fetch.fsckObjects": "true",
    "fetch.writeCommitGraph": "true",
    "transfer.bundleURI": "true",
    "uploadpack.hideRefs": "refs/heads",
    "commit.gpgSign": "true",
    "core.attributesFile": "~/my attributes",
    "i18n.logOutputEncoding": "latin1",
    "i18n.commitEncoding": "latin1",
    "grep.lineNumber": "true",
    "columns.ui": "always",
    "rerere.enabled": "true",
    "submodule.recurse": "true",
    "blame.showEmail": "true",
    "http.proxy": "http://127.0.0.1:1",
    "core.splitIndex": "true",
}


@pytest.mark.slow
def test_whatever_the_user_has_configured(made: World) -> None:
    """P8: only plumbing is read, so that a setting for people changes nothing."""
    plain, noisy = made.clone("plain checkout"), made.clone("noisy checkout")
    for repo in (plain, noisy):
        repo.write("train.py", "lr = 2\n")
        repo.commit("unpushed")
        repo.write("docs/read me.txt", "edited\n")
        repo.write("new dir/caf\u00e9.txt", "new\n")
        repo.git("mv", "run.sh", "go.sh")
    expected = noisy.tree()
    settings = {key: value for key, value in NOISE.items() if key != "uploadpack.hideRefs"}
    config = made.user.home / "noisy config"
    config.write_text((made.user.home / ".gitconfig").read_text())
    for key, value in settings.items():
        noisy.git("config", "--file", str(config), key, value)
    (made.user.home / "my attributes").write_text("*.txt diff=word\n")
    noise = {
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_PAGER": "/bin/false",
        "GIT_EXTERNAL_DIFF": "/bin/false",
        "GIT_DIFF_OPTS": "--unified=0",
        "LESS": "x",
        "LANG": "de_DE.UTF-8",
        "GIT_LITERAL_PATHSPECS": "1",
    }
    written = [made.user.home / name for name in ("plain.json", "noisy.json")]
    made.user.run("snapshot", "-o", written[0], cwd=plain.path)
    made.user.run("snapshot", "-o", written[1], cwd=noisy.path / "new dir", env=noise)
    codes = [load(path)["code"] for path in written]
    assert codes[1]["snapshot"]["tree"] == expected == codes[0]["snapshot"]["tree"]
    for key in ("base", "overlay", "changes", "omitted", "dirty"):
        assert codes[1][key] == codes[0][key], key
    made.user.run("fetch", written[1], "noisy code", env=noise)
    assert made.user.tree("noisy code") == expected
    told = made.user.run("status", "--json", cwd=noisy.path, env=noise)
    assert told.json()["changes"] == {"staged": 2, "unstaged": 1, "untracked": 1}
    assert b"\x1b" not in told.stdout


def test_git_started_with_other_directories(story: Story) -> None:
    """`git -C DIR`, `git --git-dir`, `git -c` reach the program as git hands them on."""
    story.repo.write("train.py", "lr = 1\n")
    expected = story.repo.tree()
    user = story.place.user
    git_dir, work_tree = str(story.repo.git_dir()), str(story.repo.path)
    env = {"GIT_DIR": git_dir, "GIT_WORK_TREE": work_tree}
    user.run("snapshot", "-o", user.home / "elsewhere.json", cwd=story.repo.path / "docs", env=env)
    assert load(user.home / "elsewhere.json")["code"]["snapshot"]["tree"] == expected
    # And a fetch in such an environment does not take the user's repository for the scratch one.
    user.run("fetch", "elsewhere.json", f"code {story.number}", env=env)
    assert user.tree(f"code {story.number}") == expected
    assert story.repo.tree() == expected


@pytest.mark.slow
def test_a_hash_that_git_only_echoes(tmp_path: Path) -> None:
    """P1: `git rev-parse` prints any 40 hex digits; a commit is there only when git has the object."""
    with world(tmp_path, "git") as place:
        place.register()
        asked = ("fetch", f"origin@{'ab' * 20}", "../code")
        refused(place.user, *asked, cwd=place.checkout.path, status=128, says="no such commit", hint="push it again")
        refused(place.user, "snapshot", "ab" * 20, cwd=place.checkout.path, status=128, says="ab" * 20, hint=None)


@pytest.mark.slow
def test_a_server_that_serves_only_the_tips_of_branches(tmp_path: Path) -> None:
    """An older commit of a branch, from a server that gives no commit by its id: deeper and deeper."""
    with world(tmp_path, "git") as place:
        place.register()
        for number in range(4):
            place.checkout.write("train.py", f"lr = {number}\n")
            place.checkout.commit(f"number {number}")
            if number == 1:
                wanted = place.manifest("HEAD")
                expected = place.checkout.line("rev-parse", "HEAD^{tree}")
        place.push()
        wanted = place.manifest("HEAD~2", name="older.json")
        expected = place.checkout.line("rev-parse", "HEAD~2^{tree}")
        for setting in ("uploadpack.allowAnySHA1InWant", "uploadpack.allowFilter"):
            place.repository.git("config", setting, "false")
        place.runner.run("fetch", wanted, "code", env={"GIT_CONFIG_COUNT": "0"})
        assert place.runner.tree("code") == expected


def test_a_forge_below_a_path_and_an_api_of_its_own_origin(tmp_path: Path) -> None:
    """A GitLab below a relative root, and GitHub's API on another origin: each registered by its option."""
    with Forge(tmp_path / "forge", gitlab_root="/code/gitlab") as forge:
        user = Machine(tmp_path / "user", forge.env)
        source = Repo.init(tmp_path / "source", user.env)
        source.write("train.py", "x\n")
        source.commit()
        repository = forge.add_repository("a/b c/d".replace(" ", "-"), platform="gitlab", source=source.path)
        token = {"CODEREPO_TOKEN": forge.add_token("gitlab"), "CODEREPO_TOKEN_ORIGIN": forge.url}
        checkout = Repo.clone(f"file://{repository.path}", user.home / "checkout", user.env)
        checkout.git("remote", "set-url", "origin", repository.url)
        asked = ("register", "--type", "gitlab", "--instance_url", f"{forge.url}/code/gitlab/")
        said = user.run(*asked, cwd=checkout.path, env=token).text
        assert "verified: the repository exists" in said
        user.run("snapshot", "-o", "../run.json", cwd=checkout.path)
        assert user.run("fetch", "--json", "run.json", "code", env=token).json()["method"] == "archive"
        assert user.tree("code") == checkout.tree()
