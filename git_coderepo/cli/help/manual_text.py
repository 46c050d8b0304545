"""What the manual page contains beyond the command line: prose and tables. Words in backticks are literal."""

from __future__ import annotations

DESCRIPTION = (
    "`git coderepo` records exactly which code made a run, and gets exactly that code back on any machine. It is for "
    "people who train models or process data, often from a dirty checkout and on other machines than their own. The "
    "record of a run is a small JSON file, the run manifest. With this file, another machine fetches the last pushed "
    "commit from GitHub, GitLab or any Git remote, adds your unpushed changes, which are stored in the manifest or in "
    "a file beside it, and verifies the result.",
    "To begin, start a run with `git coderepo run -- COMMAND`. In the same checkout, `git coderepo fetch @{-1} DIR` "
    "gets the code of the last run; on another machine, give its manifest instead of `@{-1}`. `git coderepo register` "
    "checks once that the platform serves your code. `git coderepo demo` shows how it works, without a network or an "
    "account.",
    "A snapshot is a Git tree id: the tracked files as they are now, plus untracked files that are not ignored. Its "
    "base is the newest commit in your history that is already on the platform. The overlay is everything that the "
    "base lacks (contents, modes, deletions); it is stored in the manifest, or in a file beside it if it is large. "
    "Dirty files and unpushed commits are handled in the same way: both end up in the overlay.",
    "The tree id of a fetched directory always equals the recorded tree id, whichever source the files came from. "
    "Otherwise the fetch fails and leaves nothing behind.",
    "The index, objects, references, work tree, HEAD and stash of your checkout are never changed, unless "
    "you ask `restore` for a new branch or worktree.",
)

WORDS = (
    ("checkout", "your work tree: the main one, a linked one, or a submodule"),
    ("platform", "a kind of hosting; see PLATFORMS"),
    ("code repository", "where a checkout's code is served from: a name, a platform, options and a credential; it is "
     "registered, or inferred from the remote"),
    ("run manifest", "the JSON file that records the code of a run and where to fetch it; it contains no secrets"),
    ("runner", "any machine that reads a manifest and fetches the snapshot"),
    ("receipt", "a JSON file in which a runner records what it verified, and how"),
)  # fmt: skip

RUN = (
    "RUN is the path of a run manifest, `-` for a manifest on standard input, or `NAME@REVISION[:PATH]`, which needs "
    "no manifest: NAME is a registration, a git remote or a URL, REVISION is a commit id, a branch or a tag, and PATH "
    "is a directory of that commit. The platform resolves a branch, a tag or an abbreviated id, and the full id is "
    "printed. The expected tree is read from the commit, whose id is checked. Without git, the API of GitHub or GitLab "
    "reports the tree id, and the receipt says so (`treeBy`). Submodules with a URL in the commit's `.gitmodules` are "
    "fetched too: over https and ssh only, at most 8 levels deep and 256 in all, each with the credential for its own "
    "host. `--no-submodules` leaves their directories empty.",
    "`NAME@run:RUN` is a published run of a code repository, by its id or its name; it needs neither a manifest nor a "
    "clone: `git coderepo fetch https://HOST/OWNER/REPOSITORY@run:ID DIR`.",
    "In a repository with recorded runs, RUN can also be the beginning of a run's id (at least four digits, unique), "
    "the name of a run (the newest with that name), or `@{-N}` for the N-th last run. A word that looks like a path, "
    "or that is the name of a file, is a path. If the run is not recorded in this repository, as in a fresh clone, RUN "
    "is the id or the name of a published run of the checkout's code repository (names are searched in the newest "
    "1,000 runs).",
    "DIR must be absent, empty, or an empty mount point. It appears only after its tree has been verified. Files get "
    "the modes 666 and 777 less the umask, and the current time.",
)

MANIFEST = (
    "A run manifest is a JSON document of at most 4 MiB that says which code a run uses and where to get it. It never "
    "changes after it was written and contains no secrets: you can commit it, mail it, or put it into an environment "
    "variable. `run` stores it in `.git/coderepo/runs`, `show --json` prints it, `snapshot` prints one without a run, "
    "and `validate` checks it against its JSON Schema, `urn:git-coderepo:run-manifest:1`, which is part of the "
    "package. Readers ignore fields that they do not know, and refuse another major version.",
    'Ids are full, in lower case. A path or an argument that is not UTF-8 is `{"base64": "…"}`. These are the most '
    "important fields:",
)

MANIFEST_FIELDS = (
    ("run", "the run's id, start, name, parent, command, and the directory it was started in"),
    ("repository", "the code repository: platform, remote and public options; null if there is none"),
    ("code.snapshot.tree", "the tree id of the code; everything else in `code` serves to get this tree"),
    ("code.head", "the commit of HEAD, its tree and its branch"),
    ("code.dirty, code.changes", "whether the code differs from HEAD, and how many files were staged, edited or "
     "untracked"),
    ("code.base", "the commit that the platform serves, and how that is known (`knownBy`)"),
    ("code.overlay", "what the base lacks: digests and size of a tar archive, and the archive itself (`data`) if it is "
     "small; null if the base has everything"),
    ("code.lfs", "the Git LFS files that travel with the run"),
    ("code.submodules", "each submodule, with its own repository and code"),
    ("code.scope, code.subdirectory", "the paths to which the snapshot is limited"),
    ("code.omitted, code.outside", "files that were left out, and contents that Git does not store, with the reasons"),
    ("environment", "the build key, the image, and code that was imported from outside the snapshot"),
    ("producer", "the versions of this program and of git"),
)  # fmt: skip

JSON = (
    "`--json` prints the answer of a command as one JSON document. `--json=A,B` prints only these fields of it, or of "
    "each item if the document is a list. `--json A,B` means the same for commands without arguments. A dot leads into "
    "an object: `git coderepo show --json=run.id,code.snapshot.tree`. An unknown field is an error that lists the "
    "valid ones; a field that is absent from an object is null.",
    "`show` prints the run manifest and `fetch` the receipt, byte for byte if no fields are chosen. The documents of "
    "`exec` and `snapshot` are the files of `--receipt` and `-o`. Fields are only ever added. A path that is not UTF-8 "
    'is `{"base64": "…"}`.',
)

HOOKS = (
    "`run` records the runs that you start with it. To record the runs that other programs start, `hooks install` adds "
    "git hooks. The pre-run hook writes the manifest of the checkout, to `.git/coderepo/current.json` among other "
    "places, and exits with 1 if it cannot; the program that calls `git hook run pre-run` should then not start. The "
    "hooks post-commit, post-checkout, post-merge and post-rewrite only remove `current.json` and always exit with 0.",
    "Hooks of other tools keep working: they run beside ours, and `hooks uninstall` removes exactly what `hooks "
    "install` added.",
)

METHODS = (
    ("archive", "download one archive of the commit from the platform's API"),
    ("git", "fetch the commit with git into a scratch directory; nothing is checked out, so that no hook and no filter "
     "runs"),
    ("files", "call `download_files` of a custom class; this is the last resort"),
    ("published", "fetch a published run; `auto` does this only if the base or the overlay is missing"),
    ("store", "read the whole snapshot from the shared store; see SHARED STORE"),
    ("local", "read the objects of the current repository and of earlier snapshots, without asking a platform"),
    ("auto", "the default: `local` if all objects are available and `--code-repository` is not used, then the shared "
     "store if there is one, then `archive`, then `git`; if the archive would differ from the tree (export-ignore and "
     "similar attributes), `git` comes first. The receipt lists the methods that failed"),
)  # fmt: skip

FORMAT = (
    "`--oneline` shows `%short %state %title` in colour. `-5` means `-n 5`. A date without a time is the beginning of "
    "that day in local time. These placeholders can be used in `--format`; `%(NAME)` is the same as `%NAME`, and `%%` "
    "is a percent sign:",
)

MEANT = (
    "A run uses the code repository of `--code-repository`, or else of `coderepo.default`. Without either, it uses the "
    "remote that the branch tracks, or else a remote whose references contain HEAD, or else a remote with a base for "
    "HEAD. If there are several, a registered remote is preferred, then `origin`. A remote with a base is always "
    "preferred to one without. If several registrations remain, the error names them. Remotes are compared by their "
    "parts, after git's `insteadOf` and ssh's aliases: the case of the host, a final `.git`, and ssh or https make no "
    "difference.",
    "A remote that is not registered is used under its own name. Its platform comes from a host rule (see "
    "CONFIGURATION), from a public host, or from the CI server; otherwise it is `git`. `register` asks an unknown host "
    "which platform it is, without sending a credential.",
    "`register` and `update` choose the remote that matches the options. If no remote matches and `--host` is not "
    "used, they use the platform's public host. A host that is known as another platform is never sent a request or a "
    "token. If the options name a different repository on the host of a remote, they are refused unless you add "
    "`--remote` or `--no-remote`.",
)

CREDENTIALS = (
    "A credential belongs to an origin (scheme, host and port) and an optional path prefix. It is looked up by the "
    "origin of each request, regardless of what a manifest says. It is dropped if the request is redirected to another "
    "origin. The first of these sources that has a credential is used:",
)

CREDENTIALS_FILE = (
    "Each line of `CODEREPO_CREDENTIALS_FILE` is `https://USER:TOKEN@HOST[:PORT][/PREFIX]`, as git-credential-store(1) "
    "writes it, or `https://HOST[:PORT][/PREFIX] USER @/path/to/token`, or a comment that begins with `#`. Of several "
    "matching lines, the one with the longest prefix is used; of equal prefixes, the last line. The file is read at "
    "each use, because mounted secrets rotate.",
    "The constructor of a custom class receives its secret options: from the option or its reference, or else a "
    "credential for the origin in the public options, or for the remote's origin. A line `https://HOST[/PREFIX] OPTION "
    "@/path/to/secret` is for one option. Any other credential for that origin is used for `token`, or for the first "
    "secret option that the class declares. If the options name several origins, each of them must have that "
    "credential.",
    "A line `{{NAME.KEY}} @/path/to/secret` sets the value of that reference, so that a registration with "
    "`--token={{NAME.KEY}}` works without a keyring. Without a keyring, `secret set` prints the line to add.",
)

TRAVELS = (
    "Untracked files that contain secrets by their name (`.env`, private keys, password files), and untracked files "
    "that match `coderepo.exclude`, are left out and listed in `omitted`. Ignored files are left out; `--include PATH` "
    "includes one.",
    "A snapshot is refused, with a hint, if the code has contents that are probably a token and not yet in the base, "
    "if it exceeds `coderepo.overlayLimit`, if a tracked file cannot be read, if a nested Git repository is not a "
    "submodule, or if the contents of a Git LFS pointer are neither local nor known to be on the platform.",
    "A snapshot is also refused if a path still changes at the fifth attempt to read it, is a FIFO or a socket, or has "
    "a name that no runner can write. A partial clone does not use the network: if local contents are missing, `git "
    "cat-file -e ID` fetches them. Files that are marked assume-unchanged or skip-worktree are read from the disk, and "
    "so are files that `core.ignoreCase` hides although the file system distinguishes case. With "
    "`core.fileMode=false`, git ignores execute permissions; `status` lists the files that lose theirs on a runner.",
    "Git and your index decide whether a tracked file has changed. A write through a shared mapping (mmap(2)) can "
    "leave the times of a file unchanged; if `git status` then calls the file clean, its contents are taken from the "
    "index. A changed file is not hashed again if lstat(2) returns the same values as for the last snapshot, its times "
    "are older than the resolution of the clock, the index, attributes and settings are the same, and no process has "
    "the file open for writing (checked by a read lease, on local Linux file systems).",
    "Some contents are not stored in Git, and a runner does not get them: git-annex files, data described by `.dvc` "
    "files, `dvc.lock` or checksum files, links to paths outside the checkout or to ignored paths, and files with a "
    "filter or attribute that is configured outside the tree (`.git/info/attributes`, `core.attributesFile`, "
    "`filter.NAME.clean`). `status`, `run`, `snapshot` and the pre-run hook warn of such files, and the manifest lists "
    "them in `outside`. They also warn of a `coderepo.scope` setting and, once per checkout, of an untracked virtual "
    "environment, `node_modules` or dataset that would travel.",
    "`status`, `run`, `snapshot` and the Python API, but not the hook, also look for code that Python imports from "
    "outside the snapshot: PYTHONPATH, `.pth` files, editable installs, packages installed from a directory, and links "
    "in site-packages. A warning names each such checkout, and the manifest lists it in `environment.imported` with "
    "its remote, commit, tree and whether it is dirty. A runner does not get that code.",
    "With `--allow-unreproducible`, such a run is recorded with its true tree id. The manifest says why the code "
    "cannot be fetched, and `fetch` and `verify` refuse it with that reason. A token never travels: the whole overlay "
    "stays on this machine. Files that are too large are hashed but not stored. A run is still refused if its record "
    "would be false, for example because HEAD keeps moving.",
    "Overlays of up to `coderepo.inlineLimit` together are stored in the manifest. A larger overlay is a file "
    "`SHA256.tar.gz` in the manifest's directory, where `fetch` finds it. If you move it, use `--overlay FILE`.",
)

SUBMODULES = (
    "A submodule with a work tree is a snapshot of its own, with its own base, overlay and code repository, and so are "
    "the submodules in it. Its code repository is that of its remote, not of `.gitmodules`. The `coderepo.*` settings "
    "of the superproject apply in the submodule unless it has its own, and limits apply to the sum of all. A dirty "
    "submodule makes the run dirty. A submodule that is not checked out is recorded as absent, and its directory stays "
    "empty. The superproject's tree id covers the commit of each submodule; the tree of its files is recorded beside "
    "it, and `fetch` and `verify` check it.",
)

LFS = (
    "Git LFS files are pointers in the tree. Contents that no pointer of the base names travel with the run in a "
    "separate tar, under the same limits. With `--check`, the LFS server is asked for the others; objects that it "
    "lacks travel too, or are named if they are not local either. If git-lfs is not set up, git adds the contents of a "
    "changed file to the tree, and so does the snapshot, with a warning. After the tree has been verified, a runner "
    "replaces the pointers that the tree's own `.gitattributes` assign to Git LFS by their files: from the manifest, "
    "the current repository or the LFS server, each checked by its sha256; in a submodule from its own platform. "
    "`--no-lfs` leaves the pointers and does not use the cache. An LFS server that `.lfsconfig` names on a host other "
    "than the remote's is sent no credential.",
)

PUBLISHED = (
    "`publish` pushes the code of a run to the remote of its code repository, with your own git transport and "
    "credentials. It creates a commit with exactly the snapshot's tree and with the base as its parent, and a tag "
    "object whose message is the run manifest. Neither contains your name. The reference `refs/coderepo/runs/ID` "
    "points to them; no branch and no tag is created, and nothing in your repository changes. The platform then keeps "
    "the code and its base even if branches are deleted. Any clone can list the run with `log --remote` and fetch it "
    "with `fetch ID`.",
    "If `coderepo.publish` is `auto`, `run` and the pre-run hook push before they write the manifest, which then has "
    "the reference and no overlay. If it is `ask`, `run` asks on a terminal, and without a terminal prints a notice "
    "and does not publish. If the platform refuses or cannot be reached, a warning says so, and the overlay travels. "
    "`snapshot` never publishes. If you publish a run later, its manifest does not change; the reference is found by "
    "the run's id.",
    "Code that a snapshot refuses is not published either: probable tokens, and more than `coderepo.publishLimit` "
    "instead of `coderepo.overlayLimit`. `publish --delete` removes the reference. If it is the only copy of the code, "
    "add `--force`.",
)

STORE = (
    "If many runners start at the same time, set `coderepo.store` to a place that they read before they ask the "
    "platform: `file:///DIRECTORY`, `s3://BUCKET[/PREFIX]` or `gs://BUCKET[/PREFIX]`. Set it on the machine that "
    "starts runs and, usually as `CODEREPO_STORE`, on each runner; manifests and `.coderepo` files cannot set it. "
    "`run` (before it starts its command), `snapshot -o` and `publish --store` write the whole snapshot to the store "
    "under its tree id, including submodules, unless it is already there. Each blob is checked against its id while it "
    "is packed, and the result is read back. If this fails, a warning says so and the run continues. The pre-run hook "
    "does not write to the store; call `git coderepo publish --store` after it.",
    "`fetch` and `exec` look in the cache, then in the store, then ask the platform. The tree id is computed from the "
    "files as usual. If the store lacks a tree, has a damaged one, refuses or does not answer, a warning says so and "
    "the platform is asked. A tree from the store needs no overlay. Git LFS files are not in the store. "
    "`NAME@REVISION` and `--code-repository` do not use it. `publish --store` verifies a tree that is already there, "
    "and replaces it if it is damaged. You can delete objects at any time. Everybody who can read the store can read "
    "the code: access depends on the store's permissions, not on the platform's.",
    "A store directory must exist, and can be shared by users and machines: everybody who can read the directory can "
    "read its objects. Buckets require the Python package s3fs or gcsfs (the extras `s3` and `gs`), and credentials "
    "where these packages look for them: `AWS_*` and `FSSPEC_S3_*` variables, `~/.aws`, or the role of the machine. "
    "Runners need permission to read and list objects; the machine that starts runs also needs to write them. Objects "
    "are named `sha1/AB/TREE.tar.gz` or `sha256/…`.",
)

LARGE = (
    "In a repository with many projects, a run often needs only some paths. `--subdirectory PATH` of `run`, `snapshot` "
    "and `status`, or `coderepo.scope`, limits the snapshot to these paths: edits, broken submodules, and unreadable "
    "or huge files elsewhere neither stop nor change a run. The snapshot's tree then contains only those paths and the "
    "`.gitattributes` of their parent directories. The manifest lists the paths in `scope`; for a single directory, "
    "`subdirectory` also names it, with the tree objects that lead to it.",
    "A runner fetches only those paths of the base: it asks GitLab for an archive of one directory, and git fetches no "
    "other contents. If a platform has only whole archives, the rest is skipped. Unpushed commits that touch only "
    "other paths add nothing to the overlay. `run.directory` records the directory where a run was started.",
    "`fetch --subdirectory PATH RUN DIR` verifies all of the recorded code and keeps one directory of it; paths in DIR "
    "are relative to that directory. `verify --subdirectory PATH` checks such a DIR.",
)

TEAM = (
    "A team's settings are in a tracked file `.coderepo` at the root of the work tree, in the syntax of git-config(1), "
    "for example `[coderepo] exclude = outputs/`. The file may contain the settings that are marked as allowed in "
    "`.coderepo`, and the platform of a host, `coderepo.https://HOST/.type`. Other settings are ignored with a "
    "warning, and includes are not followed. Settings in your configuration or environment take precedence. The file "
    "is read from the work tree when a snapshot is taken, and never on a runner. It must be a regular file.",
)

CACHE = (
    "`exec`, `run --frozen` and `fetch --cache` keep trees in a cache, under their tree ids. The cache is in the first "
    "usable directory of `coderepo.cacheDir`, the user's cache directory and `git-coderepo-UID` in the directory for "
    "temporary files. A directory is usable if it and all its parents belong to root or to the user, and if other "
    "users can write to them only with the sticky bit set. Each user has a separate part with mode 0700, which other "
    "users can neither read nor write. To share snapshots between users, use a shared store.",
    "The contents of the cache are not trusted. Whenever a tree is used, all its files are hashed and compared with "
    "the recorded tree id: converted files and Git LFS files with the bytes that `fetch` would write today, submodules "
    "with their own trees. `proof` in the receipt says what was hashed: `download`, `cache`, or a `copy` of the cached "
    "tree. Changes by an earlier job are found even if it ran as the same user, so that pods with a shared volume can "
    "share a cache. A process of the same user that changes a file between verification and use cannot be prevented. "
    "`exec` checks the tree again after its command has ended, names the changed files, and adds `afterCommand` to "
    "`proof`. To protect jobs from each other, run them as different users or with different caches.",
    "A command that runs in the cache cannot write to the tree. File modes do not stop root: if the process has "
    "CAP_SYS_ADMIN, the tree is mounted read-only in a mount namespace of the command, and mounts that the command "
    "makes are not visible elsewhere. Without that capability, root's command runs in a copy in the cache, whose path "
    "is printed. The copy is removed when the command ends, unless something was written into it. `--copy DIR` runs "
    "the command in a copy outside the cache.",
    "A modified tree is never used again and never overwritten: it is renamed, the tree is fetched again, and `cache "
    "list` shows the modified one with its path, size and age. Modified trees and copies are kept for 30 days, or "
    "until `cache prune`. If the file system is full, the least recently used trees are removed to make room.",
    "The command's PYTHONPATH begins with the directory where the run was started and the root of the code. A "
    "directory is left out, with a warning, if it contains a module with the name of a standard module or has a colon "
    "in its path. Unless PYTHONPYCACHEPREFIX is set, `exec` sets it so that Python neither reads nor writes bytecode "
    "beside the code. Set it to a directory of yours to keep compiled modules between runs.",
)

UNTRUSTED = (
    "Manifests, archives and repositories are not trusted on a runner. No path can leave DIR, pass through a link or "
    "enter `.git`. A tree can have at most 1,000,000 entries and 20 GiB. Only https and ssh are used, unless "
    "`CODEREPO_ALLOW_PROTOCOL` names another protocol. A custom class is imported only if `CODEREPO_ALLOW_SOURCE` "
    "names it and it comes from an installed package.",
)

# --- tables ---------------------------------------------------------------------------------------

REGISTRATION = (
    ("type", "The platform."),
    ("remote", "The git remote of the code repository."),
    ("source", "The class of a custom code repository."),
    ("description", "A short description."),
    ("logoUrl", "The URL of a logo."),
    ("OPTION", "An option of the platform, in camel case: `apiUrl` for `--api-url`. The value of a secret option is a "
     "reference `{{name.key}}`."),
)  # fmt: skip

HOST_RULE = (
    ("type", "The platform of the host."),
    ("source", "The class of a custom code repository."),
    ("user", "The user name for the token."),
    ("token", "A reference `{{name.key}}` to a secret."),
    ("OPTION", "An option of the platform."),
)

ENVIRONMENT = (
    ("CODEREPO_RECORD_DIR", "A directory for runs, overlays, objects and `current.json`, instead of `.git/coderepo`: "
     "use it if `.git` is read-only. Each repository has a separate subdirectory."),
    ("CODEREPO_TOKEN", "A token; requires `CODEREPO_TOKEN_ORIGIN`."),
    ("CODEREPO_TOKEN_FILE", "A file that contains the token, instead of `CODEREPO_TOKEN`. It is read at each use."),
    ("CODEREPO_TOKEN_ORIGIN", "The origin of the token: `https://HOST[:PORT][/PREFIX]`."),
    ("CODEREPO_ALLOW_PROTOCOL", "Protocols to allow on a runner in addition to https and ssh, separated by `:`. They "
     "are `file`, and `http` for the machine itself."),
)  # fmt: skip

# Set for the command of `run`, and read by the pre-run hook.
RUN_ENVIRONMENT = (
    ("CODEREPO_MANIFEST", "The absolute path of the run manifest."),
    ("CODEREPO_MANIFEST_JSON", "The manifest itself, if it is not larger than 120 KiB."),
    ("CODEREPO_RUN_ID", "The run's id. A run that is started within this run records it as its parent."),
    ("CODEREPO_TREE", "The tree id of the snapshot."),
    ("CODEREPO_COMMIT", "The commit of HEAD, empty before the first commit."),
)

HOOK_ENVIRONMENT = (("CODEREPO_OUT", "A file to which the pre-run hook also writes the manifest."),)

OTHERS_ENVIRONMENT = (
    ("GIT_TRACE", "`1` shows each command and request with secrets redacted, as `--verbose` does."),
    ("GIT_ADVICE", "`0` turns off all hints."),
    ("GIT_PROGRESS_DELAY", "The delay before a progress line is shown on a terminal, in seconds (default `0.5`)."),
    ("CI", "`true` or `1` prints progress as plain lines every five seconds if standard error is not a terminal."),
    ("GIT_SSL_CAINFO, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE", "A file of certificate authorities to trust, "
     "for git and for APIs. The first that is set is used; git's `http.sslCAInfo` comes after the first of them. "
     "Without any, the system's authorities are trusted."),
    ("GIT_HTTP_LOW_SPEED_TIME", "The time without data after which a request is aborted, in seconds (default: `60` for "
     "APIs, `120` for git)."),
    ("HTTPS_PROXY, NO_PROXY", "The proxy for git and for APIs. git's `http.proxy` and `http.URL.proxy` override it for "
     "both."),
    ("TMPDIR", "The directory for temporary files (default `/tmp`). Fetching an archive needs none; git does."),
)  # fmt: skip

DOCTOR = (
    "`doctor` checks the machine and the checkout, submodules included. Each finding is `ok`, a `note` or a `problem`; "
    "the line below a problem cures it. `--fix` applies the lines that change only the checkout's own configuration, "
    "hooks that `hooks install` wrote, and the permissions of the cache and of `.git/coderepo`. All other lines are "
    "yours to type. No server, keyring or credential helper is waited for longer than `--timeout`, and none prompts. "
    "With `--json`, the findings are in `checks`: `name`, `state`, `detail` and `fix` (null without one); with "
    "`--fix`, `fixed` lists what was done. A report of `--report` contains versions and findings, and no secrets, user "
    "names or paths of URLs. The checks are:",
)

FILES = (
    (".git/config", "Registrations, in sections `[coderepo \"NAME\"]`; never a secret. Linked work trees share it."),
    (".git/coderepo/", "Objects of snapshots, with the checkout's objects as alternates, and overlays."),
    (".git/coderepo/runs/YYYY-MM/ID.json, ID.result.json", "The manifest of a recorded run, which never changes, and "
     "its result."),
    (".git/coderepo/runs/YYYY-MM/ID.published.json", "Whether the run was published, or removed from the platform, "
     "after it was recorded."),
    (".git/coderepo/runs/index.sqlite", "An index of the recorded runs. You can delete it at any time."),
    (".git/coderepo/current.json", "The manifest of the work tree's last recorded run."),
    (".git/coderepo/written/", "A list of the manifests, overlays, receipts and fetched directories that were written "
     "into the checkout. While they are untracked and unchanged, they are not part of a snapshot, and `omitted` lists "
     "them as `own-output`."),
    ("~/.local/state/git-coderepo/crashes/", "Reports of bugs in this program, to attach to an issue; the newest 20. "
     "`XDG_STATE_HOME` stands for `~/.local/state`; on macOS it is `~/Library/Application Support`."),
    ("DIR/.coderepo-*, .DIR.coderepo-*", "The unfinished files of a fetch. The next fetch removes those of a fetch "
     "that was killed."),
)  # fmt: skip

STATUS = (
    ("0", "Success, or the answer is yes."),
    ("1", "A check failed: a tree differs, a file is invalid, or `doctor` found a problem."),
    ("4", "A credential is missing, was refused, or lacks a permission."),
    ("128", "A fatal error; nothing incomplete is left behind."),
    ("129", "Invalid usage."),
    ("130", "Interrupted."),
    ("141", "The reader of the output closed the pipe."),
)

RUN_STATUS = (
    "The exit status of `run` is that of its command: 126 if the command is not executable, 127 if it is not found, "
    "128+N if signal N ended it. It is 125 if the run could not be recorded for any reason; then nothing was started. "
    "It is 1 if the command succeeded but a path of `--output` does not exist. The exit status of `exec` is also that "
    "of its command, or 125 if the code could not be fetched.",
)

EXAMPLES = (
    ("git coderepo demo --here", "Show what would travel from this checkout, and fetch the same tree back."),
    ("git coderepo register", "Register where the code of this checkout is hosted."),
    ("git coderepo status", "Show what a run would record, and whether a runner could fetch it."),
    ("git coderepo snapshot -o run.json", "Write a run manifest."),
    ("git coderepo run -- python train.py", "Record a run and start its command."),
    ("git coderepo log --dirty --since 7d", "List the runs of this week whose code was not committed."),
    ("git coderepo diff @{-1}", "Show what changed in the code since the last run."),
    ("git coderepo report --open", "Write a report of the recorded runs, and open it in your browser."),
    ("git coderepo build-key --explain", "List the inputs of a dependency image, and warn if it depends on the code."),
    ("git coderepo fetch run.json code", "On any machine: fetch the same code and verify it."),
    ("git coderepo publish @{-1}", "Keep the code of the last run on the platform, even if branches are deleted."),
    ("git coderepo restore @{-1}", "Continue from the last run on a new branch, with its edits."),
    ("git coderepo verify run.json code", "Later: check that the code is unchanged."),
    ("git coderepo fetch https://github.com/acme/widgets.git@COMMIT code", "Fetch the code of a commit without a "
     "manifest; COMMIT is its full id."),
    ("git coderepo doctor", "Find out why something does not work, and how to fix it."),
    ("git coderepo login --host git.corp --token @token.txt", "Save a token for a host in the keyring."),
    ("git config --global coderepo.https://git.corp/.type gitlab", "Set the platform of a host."),
)  # fmt: skip

# The concepts that `git coderepo help TOPIC` explains: each is one section or more of the manual page.
TOPICS = {
    "concepts": ("DESCRIPTION",),
    "configuration": ("CONFIGURATION",),
    "contents": ("WHAT TRAVELS",),
    "credentials": ("CREDENTIALS",),
    "environment": ("ENVIRONMENT",),
    "examples": ("EXAMPLES",),
    "exit-status": ("EXIT STATUS",),
    "files": ("FILES",),
    "json": ("JSON",),
    "lfs": ("GIT LFS",),
    "manifest": ("RUN MANIFEST",),
    "methods": ("METHODS",),
    "monorepos": ("LARGE REPOSITORIES",),
    "platforms": ("PLATFORMS",),
    "published": ("PUBLISHED RUNS",),
    "repositories": ("CHOICE OF THE CODE REPOSITORY",),
    "runner": ("ON A RUNNER",),
    "runs": ("RUN AND DIR",),
    "store": ("SHARED STORE",),
    "submodules": ("SUBMODULES",),
}

# The sections of the manual page that the page of a verb repeats.
VERB_SECTIONS = {
    "run": ("WHAT TRAVELS",),
    "show": ("RUN MANIFEST",),
    "fetch": ("RUN AND DIR", "METHODS"),
    "snapshot": ("RUN MANIFEST",),
    "hooks": ("HOOKS",),
    "exec": ("RUN AND DIR",),
    "cache": ("CACHE",),
    "doctor": ("DOCTOR",),
    "publish": ("PUBLISHED RUNS",),
    "register": ("CHOICE OF THE CODE REPOSITORY", "PLATFORMS"),
    "update": ("PLATFORMS",),
    "login": ("CREDENTIALS",),
    "secret": ("CREDENTIALS",),
}

# What 0 and 1 mean, where it is more than "Success" and a failed check.
VERB_STATUS = {
    "hooks": (("0", "Success."), ("1", "A hook could not be installed or removed.")),
    "remove": (("0", "The registration was removed."), ("1", "You answered no.")),
    "status": (("0", "Success; with `--exit-code`, the code is reproducible."),
               ("1", "With `--exit-code`: the code is not reproducible. With `--as-runner`: it cannot be fetched.")),
    "doctor": (("0", "No problem was found."), ("1", "A problem was found.")),
    "verify": (("0", "The directory matches."), ("1", "The directory differs.")),
    "validate": (("0", "All files are valid."), ("1", "A file is invalid.")),
}  # fmt: skip

# Examples for the page of each verb. A test runs those that need no platform, in this order, in a new checkout.
VERB_EXAMPLES = {
    "status": (
        ("git coderepo status", "Show what a run would record."),
        ("git coderepo status --check --exit-code", "In a script: fail unless the platform can serve the code."),
        (
            "git coderepo status --as-runner --credentials ci.txt",
            "Fetch the code as a runner with this credentials file would.",
        ),
    ),
    "run": (
        ("git coderepo run -- python train.py", "Record a run and start its command."),
        (
            "git coderepo run --name baseline --output model.bin -- python train.py",
            "Give the run a name, and record the digest of the file that it writes.",
        ),
        ("git coderepo run --frozen -- python train.py", "Run a read-only copy, and go on editing."),
        ("git coderepo run --manifest run.json -- python train.py", "Also write the manifest, for another machine."),
    ),
    "log": (
        ("git coderepo log -n 5", "List the last five runs."),
        ("git coderepo log --dirty --since 7d", "List the runs of this week whose code was not committed."),
        ("git coderepo log --produced model.bin", "Find the run that wrote this file."),
        ("git coderepo log --json id,name,tree", "Print these fields of all runs as JSON."),
    ),
    "show": (
        ("git coderepo show", "Show the last run."),
        ("git coderepo show --json=run.id,code.snapshot.tree", "Print two fields of its manifest as JSON."),
        ("git coderepo show --json baseline", "Print the manifest of the newest run with this name."),
    ),
    "diff": (
        ("git coderepo diff @{-1}", "Show what changed in the checkout since the last run."),
        ("git coderepo diff @{-2} @{-1} -- --stat", "Compare the code of the last two runs, as a summary."),
    ),
    "report": (
        ("git coderepo report --open", "Write a report of the newest runs, and open it in your browser."),
        ("git coderepo report @{-2} @{-1} -o comparison", "Compare the last two runs, side by side."),
    ),
    "fetch": (
        ("git coderepo fetch @{-1} code", "In the same repository: get the code of the last run."),
        (
            "git coderepo fetch --receipt receipt.json run.json code2",
            "On another machine: fetch the code of a manifest, and note what was verified.",
        ),
        (
            "git coderepo fetch https://github.com/acme/widgets.git@main:src code",
            "Fetch a directory of a branch, without a manifest.",
        ),
    ),
    "restore": (
        ("git coderepo restore --worktree ../again baseline", "Continue from a run in a new worktree."),
        ("git coderepo restore --branch again baseline", "Continue from it here, on a new branch."),
    ),
    "snapshot": (
        ("git coderepo snapshot -o job.json", "Write a manifest of the current code, for a job that starts later."),
        ("git coderepo snapshot HEAD", "Print a manifest of the last commit, without local changes."),
    ),
    "doctor": (
        ("git coderepo doctor --offline", "Find what is wrong with this machine and this checkout."),
        ("git coderepo doctor --offline --fix", "Apply the fixes that are safe."),
        ("git coderepo doctor --report", "Print versions and findings, to attach to an issue."),
    ),
    "hooks": (
        ("git coderepo hooks install", "Record the runs of programs that call the pre-run hook in this checkout."),
        ("git coderepo hooks status", "Show which runs are recorded, and what to add to a Makefile or a job script."),
        ("git coderepo hooks uninstall", "Remove the hooks."),
    ),
    "ignore": (
        ("git coderepo ignore scratch.txt", "Leave an untracked file out of snapshots, and out of `git status`."),
    ),
    "exec": (
        ("git coderepo exec run.json -- python train.py", "Run the code of a manifest, from the cache."),
        ("git coderepo exec --copy work run.json -- python train.py", "Run it in a writable copy, and keep that."),
    ),
    "verify": (
        ("git coderepo verify run.json code2", "Check that a fetched directory is unchanged."),
        ("git coderepo verify --allow-added '*.log' run.json code2", "Accept log files that were added."),
    ),
    "validate": (
        ("git coderepo validate run.json receipt.json", "Check a manifest and a receipt against their schemas."),
    ),
    "cache": (
        ("git coderepo cache list", "List the trees in the cache, and their sizes."),
        ("git coderepo cache prune --max-size 10g", "Remove the least recently used trees until 10 GiB remain."),
    ),
    "publish": (
        ("git coderepo publish @{-1}", "Push the code of the last run to its platform."),
        ("git coderepo publish --delete @{-1}", "Remove it again."),
        ("git coderepo publish --store", "Write the current code to the shared store."),
    ),
    "prune": (
        ("git coderepo prune -n --older-than 90d", "List the runs that would be removed."),
        ("git coderepo prune --keep 100", "Remove all but the newest 100 runs."),
    ),
    "register": (
        ("git coderepo register", "Register the remote of this checkout."),
        (
            "git coderepo register corp --type gitlab --instance-url https://git.corp --token @token.txt",
            "Register a self-hosted GitLab, with a token.",
        ),
    ),
    "list": (
        ("git coderepo list", "List the code repositories, registered or inferred."),
        ("git coderepo list --json", "Print them as JSON."),
    ),
    "describe": (("git coderepo describe", "Show the code repository that a run would use."),),
    "update": (("git coderepo update corp --name work", "Change the name of a registration."),),
    "remove": (("git coderepo remove -y work", "Remove a registration without a question."),),
    "login": (
        ("git coderepo login --host github.com --token -", "Save a token from standard input."),
        ("git coderepo login --host git.corp --token @token.txt", "Save a token from a file."),
    ),
    "logout": (("git coderepo logout --host git.corp", "Remove the token of a host."),),
    "secret": (
        ("git coderepo secret set corp --token=@token.txt", "Save a secret as `{{corp.token}}`."),
        ("git coderepo secret list", "List the names of saved secrets."),
    ),
    "build-key": (
        ("git coderepo build-key", "Print the digest, for the tag of an image."),
        ("git coderepo build-key --explain", "List the inputs, and warn if the image depends on the code."),
    ),
    "demo": (
        ("git coderepo demo", "Show the whole way in a scratch directory."),
        ("git coderepo demo --here", "Show what would travel from this checkout, and fetch the same tree back."),
    ),
    "help": (
        ("git coderepo help fetch", "Show the page of a command, as `git help coderepo-fetch` does."),
        ("git coderepo help credentials", "Explain a concept."),
    ),
    "completion": (
        (
            "git coderepo completion bash",
            "Print the completion script for bash; its first lines say where to install it.",
        ),
    ),
}
