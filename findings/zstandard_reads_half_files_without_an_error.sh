#!/usr/bin/env bash
# zstandard 0.25.0: for a truncated file, `zstandard.open` and `ZstdDecompressor().stream_reader` return what is there
# and then report the end of the file, without an error; Python's gzip, bz2 and lzma raise EOFError. So a data set of
# 30,000 lines that was only half downloaded looks like one with fewer lines. `decompressobj()` can tell: its `eof` is
# False.
#
# usage: findings/zstandard_reads_half_files_without_an_error.sh [python]      (default: python3); exits with 1 if this
# has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${1:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "zstandard==0.25.0"
cd "$folder"
venv/bin/python - <<'PY'
import bz2, gzip, lzma, random, sys
import zstandard

lines = [f"{random.Random(number).random()}\n".encode() for number in range(30_000)]
content = b"".join(lines)
found = {}
for name, compress, opened in [
    ("gzip", gzip.compress, gzip.open),
    ("bz2", bz2.compress, bz2.open),
    ("lzma", lzma.compress, lzma.open),
    ("zstandard", zstandard.compress, zstandard.open),
]:
    packed = compress(content)
    with open("half", "wb") as file:
        file.write(packed[: len(packed) // 2])
    try:
        with opened("half", "rb") as file:
            read = file.read()
        found[name] = f"{len(read):,} of {len(content):,} bytes and no error"
    except EOFError as error:
        found[name] = f"EOFError: {error}"
    print(f"{name}: {found[name]}")

packed = zstandard.compress(content)
whole, half = zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdDecompressor().decompressobj()
whole.decompress(packed)
half.decompress(packed[: len(packed) // 2])
print(f"decompressobj().eof: {whole.eof} of the whole, {half.eof} of the half")
silent = [name for name, text in found.items() if not text.startswith("EOFError")]
sys.exit((silent, whole.eof, half.eof) != (["zstandard"], True, False))
PY
