"""Keep in short what fusion studies scored at stations that were left out.

    python benchmarks/left_out.py runs/germany runs/china …

Takes folders of runs that `airloom run studies/NAME.yaml` finished. Writes benchmarks/results/NAME.json: scores of all models and
cross-validations over all stations, paired differences, intervals, the unseen world, and how long each stage took.
"""

import argparse
from pathlib import Path

import yaml
from _stamp import stamp

from airloom.files import read_json, write_json

RESULTS = Path(__file__).parent / "results"
KEEP = "model", "phase", "target", "n", "rmse", "mae", "r", "r2", "bias", "rmse_ci", "mae_ci", "r_ci", "r2_ci"


def main() -> None:
    """Read, shorten, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    for run in asked.runs:
        study = yaml.safe_load((run / "study.yaml").read_text(encoding="utf-8"))
        scores = read_json(run / "scores.json")
        rows = [{k: r[k] for k in KEEP if k in r} for r in scores["rows"] if r["stratum"] == "all"]
        facts = {
            **stamp("torch"),
            "study": study,
            "rows": rows,
            "seconds": read_json(run / "timings.json"),
        }
        write_json(
            asked.out / f"{study['name']}.json", facts | {k: scores[k] for k in ("differences", "intervals", "worlds")}
        )
        for r in rows:
            label = f"{r['model']} {r['phase'] or ''}".strip()
            print(
                f"{study['name']:12} {r['target']:16} {label:32} n {r['n']:7,} RMSE {r['rmse']:.2f} MAE {r['mae']:.2f} R² {r['r2']:.3f}"
            )


if __name__ == "__main__":
    main()
