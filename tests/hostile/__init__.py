"""Archives, overlays and manifests that try something, each named for what it tries; see `README.md`."""
