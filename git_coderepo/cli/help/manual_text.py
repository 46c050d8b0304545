"""What the manual page says beyond the options: its prose and its tables. Words in backticks are literal."""

from __future__ import annotations

DESCRIPTION = (
    "A run is only as good as the memory of the code behind it. `git coderepo` knows where a checkout's code is "
    "hosted, records the exact tree that runs, as dirty as it is, in a run manifest, and lets a runner that has "
    "nothing but that manifest materialise the same tree from the platform and prove it.",
    "A snapshot is a tree id: tracked paths as they are now, plus untracked ones that are not ignored. Its base is "
    "the commit from which the platform serves the rest. What the base lacks (contents, modes, deletions) is the "
    "overlay, and travels with the manifest: a dirty checkout and an unpushed commit are the same thing, seen so.",
    "The tree id of what a runner materialised equals the tree id that was recorded, or the runner fails and leaves "
    "nothing behind. Whichever method brought the bytes, this is always checked.",
    "The index, objects, references, work tree, HEAD and stash of the checkout are never changed.",
)

WORDS = (
    ("checkout", "the work tree one stands in, a linked one included"),
    ("platform", "a kind of hosting; see PLATFORMS"),
    ("code repository", "a place that serves a checkout's code: a name, a platform, its options, a credential; "
     "registered, or inferred from the remote"),
    ("run manifest", "the JSON file that says which code a run uses and where it comes from; it holds no secret"),
    ("runner", "any machine that reads a manifest and materialises the snapshot"),
    ("receipt", "what the runner proved, and how"),
)  # fmt: skip

RUN = (
    "RUN is the path of a run manifest, `-` for one on standard input, or `NAME@REVISION[:PATH]`, which needs no "
    "manifest: NAME is a registration, a git remote or a URL, REVISION a commit id, a branch or a tag, PATH a "
    "directory of that commit. The platform resolves a branch, a tag or the beginning of an id, and the full id is "
    "printed. The expected tree is then read from the commit, whose id is checked; without git, GitHub's or GitLab's "
    "API names the tree, and the receipt says so (`treeBy`). Submodules that have a URL in the commit's `.gitmodules` "
    "are fetched too: over https and ssh only, at most 8 levels deep and 256 in all, each with the credential for its "
    "own host. `--no-submodules` leaves their directories empty.",
    "In a repository with a record of runs, RUN is also the beginning of a run's id (at least four digits, and only "
    "one run's), the name of a run (the newest of that name), or `@{-N}`, the N-th last run. What looks like a path, "
    "and a file that is there, is a path. If the record does not have the run, as in a fresh clone, RUN is the id or "
    "the name of a published run of the checkout's code repository (names: the newest 1,000).",
    "DIR is absent, empty, or an empty mount point; anything else is refused. It appears when its tree is proved, and "
    "not before. Files get the modes 666 and 777 less the umask, and the present time.",
)

METHODS = (
    ("archive", "one archive of the commit from the platform's API, read as it streams in"),
    ("git", "git fetches the one commit into a scratch directory; nothing is checked out, so no hook and no filter "
     "runs"),
    ("files", "the last resort of a custom class that has nothing better: its `download_files`"),
    ("published", "the reference of a run that was published; by itself only where the base or the overlay is gone"),
    ("store", "the shared store, where the whole snapshot lies under its tree id; see SHARED STORE"),
    ("local", "the objects of the repository one stands in and those that snapshots left there; no platform is asked"),
    ("auto", "the default: local where all of it is at hand and no `--code-repository` is named, then the shared store "
     "if one is set, then archive, then git, where an archive is not the tree (export-ignore and the like) git "
     "first; the receipt names what was tried in vain"),
)  # fmt: skip

MEANT = (
    "A run uses the code repository that `--code-repository` or else `coderepo.default` names. Otherwise the remote "
    "decides: the one that the branch follows, else one whose references contain HEAD, else one that has a base for "
    "HEAD; of several, a registered one, then `origin`. A remote that has a base always precedes one that has none. "
    "If several registrations remain, the error names them. Remotes are compared by their parts, after git's "
    "`insteadOf` and ssh's aliases: host without case, with or without `.git`, ssh and https alike.",
    "A remote that is not registered is used under its own name. Its platform is that of a host rule (see "
    "CONFIGURATION), of a public host, of the CI's own server, else `git`. `register` asks a host that nothing "
    "recognises, without a credential.",
    "`register` and `update` choose the remote that matches the options. A host that is known as another platform "
    "gets no request and no token: without a matching remote and without `--host`, the platform's public host is "
    "used. Options that name a different repository on the host of a remote are refused, unless `--remote` or "
    "`--no-remote` confirms them.",
)

CREDENTIALS = (
    "A credential belongs to an origin (scheme, host, port) and an optional path prefix, and is looked up by the "
    "origin of the request about to be sent, never by what a manifest says. A redirect to another origin drops it. "
    "The first of these that has one gives it:",
)

CREDENTIALS_FILE = (
    "Each line of the file that `CODEREPO_CREDENTIALS_FILE` names is `https://USER:TOKEN@HOST[:PORT][/PREFIX]`, as "
    "git-credential-store(1) writes it, or `https://HOST[:PORT][/PREFIX] USER @/path/to/token`, or a comment that "
    "begins with `#`. Of several matching lines the longest prefix wins; of equal prefixes, the last line. It is read "
    "again at each use, since mounted secrets rotate.",
    "The constructor of a custom class receives all its secret options: from the option or its reference, else a "
    "credential of the origin that the public options name, or of the remote's origin. The line "
    "`https://HOST[/PREFIX] OPTION @/path/to/secret` is for one option; any other credential of that origin is for "
    "`token`, or for the first secret option that the class declares. If the options name several origins, each of "
    "them must have that credential.",
    "A line `{{NAME.KEY}} @/path/to/secret` gives the value of that reference. A registration with "
    "`--token={{NAME.KEY}}` then works without a keyring; where there is none, `secret set` prints the line to add.",
)

TRAVELS = (
    "Left out, and named in `omitted`: untracked files that are secret by name (`.env`, private keys, password "
    "files), and untracked ones that `coderepo.exclude` matches. Ignored paths are not looked at; `--include PATH` "
    "takes one along.",
    "Refused before the run starts, with the line that cures it: contents in the unmistakable shape of a token that "
    "the base does not have, more "
    "than `coderepo.overlayLimit`, a tracked path that cannot be read, a Git repository inside this one that is no "
    "submodule, and a Git LFS pointer whose contents are neither here nor known to be on the platform.",
    "Refused as well: a path that still changes at the fifth attempt to read the changed files, that is a FIFO or a "
    "socket in a file's place, or whose name no runner writes. A partial clone asks no network: where contents would "
    "travel that are not here, `git cat-file -e ID` fetches them. Paths marked assume-unchanged or skip-worktree are "
    "taken as they lie on the disk, and so are twins that `core.ignoreCase` hides on a file system that has both. "
    "With `core.fileMode=false` git looks at no execute bit: `status` names the files that a runner gets without it.",
    "Git and your index decide whether a tracked file changed: a write through a shared mapping (mmap(2)) may leave "
    "the file's times unchanged, and a mapped file that `git status` calls clean is taken from the index. A changed "
    "file is not hashed again if lstat(2) returns the same facts as for the last snapshot, its times are older than "
    "the clock's resolution, the index, attributes and settings are the same, and no process has the file open for "
    "writing (a read lease, on local Linux file systems).",
    "Git does not store some content, and a runner does not get it: git-annex files, data that a `.dvc` file, a "
    "`dvc.lock` or a checksum file describes, links out of the checkout or to ignored paths, and files that pass "
    "through a filter or an attribute configured outside the tree (`.git/info/attributes`, `core.attributesFile`, "
    "`filter.NAME.clean`). `status`, `run`, `snapshot` and the pre-run hook name such paths in a warning, and the "
    "manifest lists them in `outside`. They also warn of a `coderepo.scope` from the settings and, once per checkout, "
    "of an untracked virtual environment, `node_modules` or dataset that would travel.",
    "`status`, `run`, `snapshot` and the Python API, but not the hook, also look for other places that Python imports "
    "code from: PYTHONPATH, `.pth` files, editable installs, packages installed from a directory, and links in "
    "site-packages. A warning names each such checkout, and the manifest lists it in `environment.imported` with its "
    "remote, commit, tree and whether it is dirty; a runner does not get that code.",
    "With `--allow-unreproducible` such a run is recorded all the same, under its true tree id: the manifest says that "
    "nobody can get its code back, and why, and `fetch` and `verify` refuse it with that reason. A token does not "
    "travel even then: the whole overlay stays here. What is too large is hashed, and kept nowhere. Where the record "
    "would not be true (HEAD keeps moving, a hook changed what was just recorded) there is none.",
    "Overlays of together up to `coderepo.inlineLimit` stand in the manifest. Each other one is `SHA256.tar.gz` in "
    "the manifest's folder, where `fetch` finds it; `--overlay FILE` names it elsewhere.",
    "A submodule that has a work tree is a snapshot of its own, with its own base, overlay and code repository, which "
    "is its remote's and not what `.gitmodules` says; those in it too. All of the above holds in it: `coderepo.*` "
    "settings of the superproject count there where it has none of its own, and the limits are for all together. A "
    "dirty submodule makes the run dirty. One that is not checked out is recorded as absent, and its directory stays "
    "empty. The superproject's tree id proves the commit of each submodule; the tree of its files is recorded beside "
    "it, and is what `fetch` and `verify` hold them to.",
    "The tree holds Git LFS's pointers. Contents that no pointer of the base names travel with the run, in a tar of "
    "their own beside the overlay, under the same limits; with `--check` the LFS server is asked for the others, and "
    "what it does not give travels as well, or is named where it is not here either. Where git-lfs is not set up, git "
    "takes the contents of a changed file into the tree, and so does the snapshot, with a warning. On a runner, once "
    "the tree is proved, the pointers that its own `.gitattributes` give to Git LFS become files: from what "
    "travelled, from the repository that one stands in, from the LFS server, each by its sha256; a submodule's from "
    "its own platform's. `--no-lfs` leaves them as they are, and passes the cache by. A server that a tracked "
    "`.lfsconfig` names on another host than the remote's is sent no credential.",
)

PUBLISHED = (
    "`publish` pushes a run's code to the remote of its code repository, with the user's own git transport and "
    "credentials: a commit with exactly the snapshot's tree, on its base, and on it a tag object whose message is the "
    "run manifest. Neither says who the user is. One reference leads to them, `refs/coderepo/runs/ID`; no branch, no "
    "tag, and nothing in the user's repository changes. From then on the platform keeps the code and its base, "
    "whatever becomes of branches; any clone lists the run with `log --remote` and brings it with `fetch ID`.",
    "With `coderepo.publish` set to `auto`, `run` and the pre-run hook push before they write the manifest, which then "
    "has the reference and no overlay; with `ask`, `run` asks on a terminal, and where there is none nothing is "
    "published, which is said. Where the platform refuses, or cannot be reached, that is said, and the overlay "
    "travels. `snapshot` publishes nothing. A run that was recorded before keeps its manifest as it is: its reference "
    "is found by its id.",
    "What stops a snapshot stops publishing: the shape of a token, and `coderepo.publishLimit` in the place of "
    "`coderepo.overlayLimit`. `publish --delete` removes the reference again, with `--force` also where no overlay has "
    "the code.",
)

STORE = (
    "Where many runners start at once, `coderepo.store` names a place that they ask before the platform: "
    "`file:///DIRECTORY`, `s3://BUCKET[/PREFIX]` or `gs://BUCKET[/PREFIX]`. It is a setting of the launcher and of "
    "each runner, there mostly as `CODEREPO_STORE`; no manifest and no tracked `.coderepo` file sets it. `run` before "
    "its command starts, `snapshot -o` and `publish --store` put a snapshot there, whole, under its tree id, with "
    "each of its submodules; what is there already is not written again. Each blob is held against its id as it is "
    "packed, and what was stored is read back. The pre-run hook puts nothing there: a launcher that uses it calls "
    "`git coderepo publish --store`. Where that fails it is said, and the run goes on.",
    "`fetch` and `exec` look into the cache, then into the store, then ask the platform. The tree id is computed from "
    "what the store gave, as ever: one that has not the tree, has something else in its place, refuses or does not "
    "answer is named, and the platform is asked. From the store no overlay is needed. What Git LFS keeps does not lie "
    "there. `NAME@REVISION` and `--code-repository` pass the store by. `publish --store` proves what is there, and "
    "writes it anew where it is damaged; what is no longer wanted may be removed at any time. Whoever may read the "
    "store may read the code: its own permissions decide, not the platform's.",
    "A directory must be there, and may be shared by users and machines: what is put into it may be read by whoever "
    "may read the directory. Buckets need the Python package s3fs or gcsfs (the extras `s3` and `gs`), and "
    "credentials where these look for them: `AWS_*` and `FSSPEC_S3_*` variables, `~/.aws`, the machine's role. A "
    "runner reads objects and may list them; a launcher writes them too. The objects are `sha1/AB/TREE.tar.gz`, or "
    "`sha256/…`.",
)

LARGE = (
    "In a repository of many projects a run needs some paths only. `--subdirectory PATH` of `run`, `snapshot` and "
    "`status`, or `coderepo.scope`, limits what is looked at: a colleague's edits, a broken submodule, an unreadable "
    "or a huge file elsewhere neither stops nor changes a run. The snapshot's tree is then the tree that holds only "
    "those paths, each in its place, and the `.gitattributes` of the directories above them; the manifest names them "
    "in `scope`, and one directory in `subdirectory` too, with the tree objects that lead to it.",
    "A runner takes those paths of the base, and no others: a GitLab archive is asked for one directory, git fetches "
    "no other contents; a platform that has whole archives alone sends one, and the rest of it is passed over. Commits "
    "that were not pushed and touch other paths alone carry nothing. `run.directory` says where a run was started.",
    "`fetch --subdirectory PATH RUN DIR` proves the whole of what was recorded and keeps one directory of it, from "
    "which the files in DIR are then named; `verify --subdirectory PATH` looks at such a DIR again.",
)

TEAM = (
    "A team's settings are in a tracked file `.coderepo` at the root of the work tree, in the syntax of git-config(1), "
    "for example `[coderepo] exclude = outputs/`. The file may contain the settings that are marked as allowed in "
    "`.coderepo`, and the platform of a host, `coderepo.https://HOST/.type`. Other settings are ignored with a "
    "warning, and includes are not followed. Settings in your configuration or environment take precedence. The file "
    "is read from the work tree when a snapshot is taken, and never on a runner. It must be a regular file.",
)

CACHE = (
    "`exec`, `run --frozen` and `fetch --cache` keep trees in a cache, under their tree ids. The cache is in the "
    "first usable directory of `coderepo.cacheDir`, the user's cache directory and `git-coderepo-UID` in the "
    "directory for temporary files. A directory is usable if it and all its parents belong to root or to the user, "
    "and if others may write to them only with the sticky bit set. Each user has a part of their own with mode 0700, "
    "which other users can neither read nor write. To share snapshots between users, use a shared store.",
    "Contents of the cache are not trusted. Whenever a tree is used, all its files are hashed and compared with the "
    "recorded tree id: converted files and Git LFS files with the bytes that `fetch` would write today, submodules "
    "with their own trees. `proof` in the receipt says what was hashed: `download`, `cache`, or a `copy` of the "
    "cached tree. Changes that an earlier job made are found even if it had the same user id, so pods that share a "
    "volume can share a cache. A process of the same user that changes a file between verification and use cannot be "
    "prevented. `exec` checks the tree again after its command has ended, names the changed files, and adds "
    "`afterCommand` to `proof`. To protect jobs from each other, run them as different users or with different caches.",
    "A command that runs in the cache cannot write to the tree. File modes do not stop root: if the process has "
    "CAP_SYS_ADMIN, the tree is mounted read-only in a mount namespace of the command's own, and mounts that the "
    "command makes are not visible elsewhere. Without that capability root's command runs in a copy in the cache, "
    "whose path is printed. The copy is removed when the command ends, unless something was written into it. `--copy "
    "DIR` runs the command in a copy outside the cache.",
    "A modified tree is never used again, and never overwritten: it is renamed, the tree is fetched again, and `cache "
    "list` shows the modified one with its path, size and age. Modified trees and copies are kept for 30 days, or "
    "until `cache prune`. When the file system is full, the least recently used trees are removed to make room.",
    "The command's PYTHONPATH begins with the directory where the run was started and the root of the code. A "
    "directory that contains a module with the name of a standard module is left out, with a warning, and so is one "
    "with a colon in its path. Unless PYTHONPYCACHEPREFIX is set already, `exec` sets it so that Python neither reads "
    "nor writes bytecode beside the code; set it to a directory of yours to keep compiled modules between runs.",
)

UNTRUSTED = (
    "A manifest, an archive and a repository are untrusted on a runner. No path leaves DIR, goes through a link or "
    "enters `.git`; at most 1,000,000 entries and 20 GiB are taken. https and ssh are spoken, other protocols only "
    "where `CODEREPO_ALLOW_PROTOCOL` names them, and a custom class is imported only where `CODEREPO_ALLOW_SOURCE` "
    "names it and it comes from an installed package.",
)

# --- tables ---------------------------------------------------------------------------------------

REGISTRATION = (
    ("type", "The platform."),
    ("remote", "The name of the git remote that it serves."),
    ("source", "The class of a custom code repository."),
    ("description", "What it is."),
    ("logoUrl", "A picture of it."),
    ("OPTION", "An option of the platform, in camel case: `apiUrl` for `--api-url`. A secret one is a reference "
     "`{{name.key}}`."),
)  # fmt: skip

HOST_RULE = (
    ("type", "The platform of the host."),
    ("source", "The class of a custom code repository."),
    ("user", "The user name that goes with a token."),
    ("token", "A reference `{{name.key}}` to a secret."),
    ("OPTION", "An option of the platform."),
)

ENVIRONMENT = (
    ("CODEREPO_RECORD_DIR", "A directory for runs, overlays, objects and `current.json`, instead of `.git/coderepo`: "
     "use it if `.git` is read-only. Each repository has a subdirectory of its own."),
    ("CODEREPO_TOKEN", "A token, only together with `CODEREPO_TOKEN_ORIGIN`."),
    ("CODEREPO_TOKEN_FILE", "A file that holds the token, instead; read again at each use."),
    ("CODEREPO_TOKEN_ORIGIN", "What the token is for: `https://HOST[:PORT][/PREFIX]`."),
    ("CODEREPO_ALLOW_PROTOCOL", "Protocols allowed on a runner beside https and ssh, parted by `:`; `file`, and `http` "
     "to this machine itself."),
)  # fmt: skip

# What a command that `run` starts finds in its environment, and what the pre-run hook reads.
RUN_ENVIRONMENT = (
    ("CODEREPO_MANIFEST", "The path of its run manifest, absolute."),
    ("CODEREPO_MANIFEST_JSON", "The manifest itself, where it is no larger than 120 KiB."),
    ("CODEREPO_RUN_ID", "The run's id. A run that is started within it names it as its parent."),
    ("CODEREPO_TREE", "The snapshot's tree id."),
    ("CODEREPO_COMMIT", "HEAD's commit, empty before the first one."),
)

HOOK_ENVIRONMENT = (("CODEREPO_OUT", "Where the pre-run hook writes the manifest, too."),)

OTHERS_ENVIRONMENT = (
    ("GIT_TRACE", "`1` shows each command and request with secrets redacted, as `--verbose` does."),
    ("GIT_ADVICE", "`0` switches all hints off."),
    ("GIT_PROGRESS_DELAY", "After how many seconds a progress line is drawn, on a terminal; `0.5` by default."),
    ("GIT_SSL_CAINFO, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE", "The file of certificate authorities to "
     "trust, for git and the API alike; the first that is set counts. After the first of them git's `http.sslCAInfo` "
     "does; without any the system's authorities are trusted."),
    ("GIT_HTTP_LOW_SPEED_TIME", "After how many seconds without data a server is given up; by default after `60` where "
     "its API is asked, `120` where git is."),
    ("HTTPS_PROXY, NO_PROXY", "The proxy, for git and the API alike. git's `http.proxy` and `http.URL.proxy` count "
     "before it, for both."),
    ("TMPDIR", "Where temporary files lie, `/tmp` without it. Fetching an archive needs none; git does."),
)  # fmt: skip

FILES = (
    (".git/config", "Registrations, in sections `[coderepo \"NAME\"]`. No secret is ever written there. For linked "
     "work trees it is the common one."),
    (".git/coderepo/", "Our own objects, with the checkout's as their alternate, and overlays by their digest."),
    (".git/coderepo/runs/YYYY-MM/ID.json, ID.result.json", "The manifest of a recorded run, which never changes, and "
     "what is known of how it ended."),
    (".git/coderepo/runs/YYYY-MM/ID.published.json", "Whether it was published, or is no longer, after it was "
     "recorded."),
    (".git/coderepo/runs/index.sqlite", "An index of the record, made by its readers; it may be removed at any time."),
    (".git/coderepo/current.json", "The manifest of the work tree's last recorded run."),
    (".git/coderepo/written/", "A list of the manifests, overlays, receipts and fetched directories that were written "
     "into the checkout. While they are untracked and unchanged they are not part of the snapshot, and `omitted` "
     "lists them as `own-output`."),
    ("DIR/.coderepo-*, .DIR.coderepo-*", "What a fetch has not proved yet; a later one takes away what a killed one "
     "left."),
)  # fmt: skip

STATUS = (
    ("0", "It was done, or the answer is yes."),
    ("1", "The answer is no: a tree that differs, a file that is not valid."),
    ("4", "A credential is missing, was refused, or may not do what was asked."),
    ("128", "A fatal error; nothing half-done is left behind."),
    ("129", "The words of the command do not fit its usage."),
    ("130", "It was interrupted."),
    ("141", "Whoever read the output is gone."),
)

RUN_STATUS = (
    "The status of `run` is that of its command: 126 where it is not executable, 127 where there is none, 128+N where "
    "signal N ended it. It is 125 where the run could not be recorded, whatever the reason; then nothing was started. "
    "It is 1 if the command succeeded but a path of `--output` does not exist. The status of `exec` is that of its "
    "command, too, and 125 if the code could not be fetched.",
)

EXAMPLES = (
    ("git coderepo demo --here", "See what would travel from this checkout, and the same tree come back."),
    ("git coderepo register", "Tie this checkout to its platform."),
    ("git coderepo status", "Say what would be recorded now, and whether a runner could fetch it."),
    ("git coderepo snapshot -o run.json", "Write the run manifest."),
    ("git coderepo run -- python train.py", "Record a run, and start it."),
    ("git coderepo log --dirty --since 7d", "Which runs of this week had code that no commit has?"),
    ("git coderepo diff @{-1}", "What changed in the code since the last run?"),
    ("git coderepo build-key --explain", "What an image is built from, and whether it takes the code along."),
    ("git coderepo fetch run.json code", "On any machine: the same code, proved."),
    ("git coderepo publish @{-1}", "Keep the last run's code on the platform, whatever becomes of branches."),
    ("git coderepo verify run.json code", "Later: is it still the same?"),
    ("git coderepo fetch https://github.com/acme/widgets.git@COMMIT code", "The code of a commit, without a manifest; "
     "COMMIT is its full id."),
    ("git coderepo login --host git.corp --token @token.txt", "Keep a token for a host in the keyring."),
    ("git config --global coderepo.https://git.corp/.type gitlab", "Say of which platform a host is."),
)  # fmt: skip
