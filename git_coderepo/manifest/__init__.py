"""The contract between who records a run and who gets its code back: the run manifest, and the runner's receipt.

A manifest is read in three layers, each of which has one place:

- *text* (`strict_json`): at most 4 MiB of UTF-8 JSON, no key twice, no NaN, no lone surrogate, no bottomless nesting;
- *shape* (`reader`, and for everybody else `schema/run-manifest-1.json`): fields, types, lengths and patterns; the two
  accept and refuse the same documents (`receipt_reader` does so for a receipt);
- *meaning* (`meaning`): what no schema can say: what base64 holds, a path named twice, a checksum, the proof of a part.

`Manifest.parse` goes through all three; `writer` is what the recording side needs of this package.
"""
