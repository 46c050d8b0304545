"""Git's hooks: installing, taking out, saying how they stand. The scripts themselves stand in `/hooks`.

git ≥ 2.54 has hooks in its configuration (`configured.py`); for older ones a file, or a marked block in somebody
else's script, goes into the hooks folder (`folder.py`). Either way taking them out leaves what was there before.
"""
