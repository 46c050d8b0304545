"""Forward the provider to the name under which MLflow finds it; see `git_coderepo.integrations.mlflow`."""

from git_coderepo.integrations.mlflow import CodeRepoRunContext

__all__ = ["CodeRepoRunContext"]
