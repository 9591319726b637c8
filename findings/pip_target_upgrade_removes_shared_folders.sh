#!/usr/bin/env bash
# pip 26.3: `pip install --upgrade --target FOLDER` replaces every top-level folder of a package as a whole, also one
# that it shares with another package. Where protobuf is installed, installing googleapis-common-protos that way removes
# google/protobuf without a warning, and `pip list` still has protobuf. One would expect what happens without --target:
# only the files of the package's older version go. (mlx and mlx-cpu share a folder, too.)
#
# usage: findings/pip_target_upgrade_removes_shared_folders.sh [python]      (default: python3); exits with 1 if this has
# changed, with 2 if it cannot run
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$folder/venv/bin/python
install() { "$python" -m pip install -q --no-deps "$@"; }
has_protobuf() { PYTHONPATH=$folder/target "$python" -c 'import google.protobuf' 2>/dev/null && echo yes || echo no; }

"${1:-python3}" -m venv "$folder/venv" && install pip==26.3 && install --target "$folder/target" protobuf==6.33.0 || exit 2
before=$(has_protobuf)
install --upgrade --target "$folder/target" googleapis-common-protos==1.72.0 2>"$folder/said" || exit 2
after=$(has_protobuf)
warnings=$(grep -c protobuf "$folder/said")
listed=$("$python" -m pip list --path "$folder/target" --format freeze | grep -c '^protobuf==')

"$python" -m pip --version | cut -d ' ' -f 1,2
echo "google.protobuf is there: before $before, after $after; lines of pip's that name it: $warnings; listed: $listed"
[ "$before $after $warnings $listed" = "yes no 0 1" ]
