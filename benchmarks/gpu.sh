#!/usr/bin/env bash
# All there is to measure on a GPU, in at most 8 minutes, on a bare machine: Python 3.12, torch 2.11, torchvision 0.26 and
# the like, but no registry. WHEELS is a folder of what such a machine lacks: tyro, docstring_parser, typeguard,
# pycocotools, hotcoco, msgspec, hypothesis, sortedcontainers. OUT takes the logs and a copy of the row files, which are
# written to zoo/rows.
#
#   [WHEELS=.whl] [OUT=runs/gpu] benchmarks/gpu.sh [--device cpu] [tests] [training] [inference] [profile] [train] [rows]
#     [compiled]
#
# Without names all parts but the last; rows come after the others, as many of them as there is time for. `compiled` is
# the profile with --run.compile. `--device cpu` tries the script out on tiny inputs, and leaves no row file behind.
set -uo pipefail

device=cuda
if [[ ${1:-} == --device ]]; then device=$2; shift 2; fi
parts=${*:-tests training inference profile train rows}
seconds=480
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(mkdir -p "${OUT:-$root/runs/gpu}" && cd "${OUT:-$root/runs/gpu}" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PYTHONPATH=$root:$root/tests PYTHONUNBUFFERED=1
if [[ -n ${WHEELS:-} ]]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$scratch/site" "$WHEELS"/*.whl || exit
  PYTHONPATH=$PYTHONPATH:$scratch/site
fi

if [[ $device == cuda ]]; then
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
  cd "$root" || exit
  size=(--height 800 --width 1216) few=1 many=8 train_few=2 train_many=16 iterations=10 batch=16 names=()
  beside=(retinanet fcos faster_rcnn) looked_into=(retinanet_r50_fpn_1x mask_rcnn_r50_fpn_1x)
  trained=(retinanet_r50_fpn_1x --data.source shapes --data.shapes.size 800 --data.shapes.val-images 16
    --data.workers 12 --backbone-weights None --schedule.iterations 60
    --model.backbone.norm batch --model.backbone.frozen-stages 0)  # random weights need norms
else
  cd "$scratch" || exit
  size=(--height 64 --width 96) few=1 many=2 train_few=1 train_many=2 iterations=1 batch=2 names=(retinanet_r18_fpn_shapes)
  beside=(retinanet) looked_into=("${names[@]}")
  trained=("${names[@]}" --data.shapes.val-images 4 --schedule.iterations 4 --run.log-every 2)
fi
touch "$scratch/begun"
cvzoo() { python3 -c 'import sys; from cvzoo.cli import main; sys.exit(main())' "$@"; }
compare() { python3 "$root/benchmarks/$1_vs_torchvision.py" "${@:2}" "${size[@]}" --device "$device"; }

tests() {
  local files; mapfile -t files < <(grep -rl --include='test_*.py' mark.gpu "$root/tests")
  python3 -m pytest "${files[@]}" --rootdir "$root" -c "$root/pyproject.toml" -m gpu -q -p no:cacheprovider
}
training() {
  compare training "${beside[@]}" mask_rcnn --precision bf16 --batch "$train_few" "$train_many" --rounds 2
  compare training "${beside[@]}" mask_rcnn --precision fp32 --batch "$train_many" --rounds 2
}
inference() {
  compare inference "${beside[@]}" --precision fp32 bf16 --batch "$few" "$many" --rounds 5
  compare inference mask_rcnn --precision fp32 bf16 --batch "$few" "$many" --rounds 1  # torchvision takes seconds
  if [[ $device == cuda ]]; then compare inference "${beside[@]}" --precision fp32 bf16 --batch "$few" --rounds 5 --graphs; fi
}
profile() {
  local row
  for row in "${looked_into[@]}"; do
    # the batch is no row's: its file stays out of the zoo
    (cd "$scratch" && cvzoo bench "$row" --precision bf16 --device "$device" --iterations "$iterations" --batch "$batch" \
      --profile "$@")
  done
}
compiled() { profile --run.compile; }
train() {
  cvzoo train "${trained[@]}" --schedule.batch "$batch" --precision bf16 --device "$device" --run.out "$scratch/runs"
}
rows() {
  local left=$((seconds - SECONDS - 20))
  python3 "$root/benchmarks/rows.py" "${names[@]}" --device "$device" --iterations "$iterations" --seconds "$left"
}

for part in $parts; do
  echo "== $part, after $SECONDS s"
  "$part" 2>&1 | tee "$out/$part.log" || echo "!! $part failed"
done
if [[ $device == cuda ]]; then
  (cd zoo/rows && find . -name '*.json' -newer "$scratch/begun" -print0 | tar -czf "$out/rows.tgz" --null --files-from -)
fi
echo "== done after $SECONDS s"
