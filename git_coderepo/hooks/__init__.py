"""Git's hooks: install, uninstall and show them. The scripts are in the folder `/hooks`.

git 2.54 and newer runs hooks from its configuration (`configured.py`). For older versions a file, or a marked block in
the script of another tool, is added to the hooks folder (`folder.py`). Uninstalling restores the previous state.
"""
