"""The name under which MLflow finds the provider; see `git_coderepo.integrations.mlflow`."""

from git_coderepo.integrations.mlflow import CodeRepoRunContext

__all__ = ["CodeRepoRunContext"]
