"""The contract between who records a run and who gets its code back: the run manifest, and the runner's receipt.

A manifest is read in three layers, each of which has one place:

- *text* (`strict_json`): at most 4 MiB of UTF-8 JSON, no key twice, no NaN, no lone surrogate, no bottomless nesting;
- *shape* (`codec`, by `schema/`): fields, types, lengths and patterns, for receipts too; then `model` converts what
  has the shape of a manifest to the typed values of `model`;
- *meaning* (`invariants`): what no schema can say: what base64 holds, a path named twice, a checksum, the proof of a
  part.

`Manifest.parse` goes through all three; `writer` is what the recording side needs of this package.
"""
