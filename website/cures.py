"""What to do about each kind of error, for the messages that suggest nothing themselves."""

from __future__ import annotations

CURES = {
    "ChangedMeanwhile": "Stop the program that writes there, or ignore its files: `git coderepo ignore PATH`.",
    "CodeRepoError": "Run it again with `git coderepo --verbose`, which shows the command or request that failed.",
    "CommitMissing": "Push the commit again from a clone that has it. `git coderepo publish` prevents it.",
    "ConnectionBroken": "Try again. If it happens each time, a proxy or firewall may cut the connection.",
    "CredentialError": "Check the file, variable or keyring entry that the message names; see "
    "[Tokens](../guides/credentials.md).",
    "CredentialMissing": "On your machine: `git coderepo login`. On a runner: see [Give a token to another "
    "machine](../guides/credentials.md#give-a-token-to-another-machine).",
    "DownloadDamaged": "Try again. If it happens each time, use another source: `git coderepo fetch --method git`.",
    "GitFailed": "Run the Git command that `git coderepo --verbose` shows, to see all of its output.",
    "GitNotFound": "Install Git 2.34 or later, and check that it is on PATH.",
    "GitUnusable": "Set TMPDIR to a directory that you can write to, or use a source that needs no Git.",
    "HookRefused": "Add the line by hand that the hint shows, or use `git coderepo run` instead of hooks.",
    "HostUnreachable": "Check the spelling of the host, the network, and proxy and certificates: see "
    "[Networks](../guides/runners.md#networks).",
    "InvalidManifest": "Copy the manifest again, as it was written. `git coderepo validate FILE` lists all problems.",
    "InvalidObjectId": "Give the full id, as `git rev-parse` prints it.",
    "InvalidRemoteURL": "Correct the URL: `git remote set-url NAME URL`.",
    "KeyringUnavailable": "Use a credentials file; see [Tokens](../guides/credentials.md).",
    "LfsObjectMissing": "Push the object from a clone that has it (`git lfs push --all REMOTE`), or use `--no-lfs`.",
    "LfsPointerUnusable": "Fetch with `--no-lfs`, and restore the file with the program that wrote it.",
    "MethodUnavailable": "Leave out `--method`, so that another source is used, or install what the message names.",
    "NegativeAnswer": "The lines above the message name what differs or is invalid.",
    "NoAnswer": "Try again; check the network or the program that the message names.",
    "NoRecord": "Give the path of a manifest, or change to the checkout in which the run was recorded.",
    "NotACheckout": "Change to a directory of your checkout.",
    "NotReproducible": "Change what the message names, or record the run anyway with `--allow-unreproducible`.",
    "OutputUnusable": "Choose another file, or correct the permissions of its directory.",
    "OverlayMissing": "Copy the file `SHA256.tar.gz` that belongs to the manifest, or name it with `--overlay FILE`.",
    "ProtocolNotAllowed": "Use https or ssh; for `file` and `http`, see `CODEREPO_ALLOW_PROTOCOL` in [Environment "
    "variables](environment.md).",
    "PushRefused": "Ask for permission to push to `refs/coderepo/`, or run without publishing.",
    "RateLimited": "Wait longer (`CODEREPO_MAX_WAIT`), or use a [shared store](../guides/shared-store.md).",
    "RegistrationError": "`git coderepo list` shows what is registered or inferred; `git coderepo doctor` checks it.",
    "RepositoryMissing": "Check the name, and whether the token may read the repository.",
    "ScopeMissing": "Give the token the permissions in [Platforms](platforms.md).",
    "ServerFailed": "Try again later; the platform's status page may say more.",
    "SourceNotAllowed": "Install the class on this machine, and allow it: `CODEREPO_ALLOW_SOURCE=module.Class`.",
    "StoreDamaged": "Write the tree again: `git coderepo publish --store RUN`. The platform is asked meanwhile.",
    "StoreUnavailable": "Check `coderepo.store`, its permissions, and the package that it needs.",
    "TargetUnusable": "Choose an empty directory on a local file system with symbolic links and case-sensitive names.",
    "TokenRefused": "Replace the token in the source that the message names; it may have expired.",
    "TooLarge": "Ignore data and outputs, push your commits, or raise `coderepo.overlayLimit`.",
    "TreeDiffers": "Nothing was written. Try another source with `--method`; if it differs again, the server has "
    "other code than was recorded.",
    "UnexpectedAnswer": "Check that the URL is the platform's and not that of a proxy or a login page; then try again.",
    "UnknownOption": "`git coderepo register -h` lists the options of each platform.",
    "UnknownRun": "`git coderepo log` lists the runs of this checkout, and `--remote` the published ones.",
    "UnsafeTree": "Nothing was written. The archive or repository has something that could harm a machine, or is too "
    "large; look at the path that the message names.",
    "UsageError": "`git coderepo VERB -h` shows what the command takes.",
}
