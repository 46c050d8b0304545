"""The runner as one file: `make runner` builds `git-coderepo.pyz`, which needs a Python and nothing else."""
