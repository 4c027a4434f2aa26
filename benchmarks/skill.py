"""Skill of DACNO₂ on a twin of 512 km: three seeds beside CAMS and the baselines, and what its parts are worth.

    python benchmarks/skill.py FOLDER [--seeds 1 2 3] [--variants stations-only …] [--days 9] [--cores 2]

Makes the twin of studies/po-valley.yaml below FOLDER (the first nine days of each month of five years, about an hour on two
cores), carries the study through for each seed, and each of `--variants` with the first seed (1, where --seeds names none). An interrupted call goes on.
Writes benchmarks/results/skill.json, with other --days skill-4.json or the like: scores, and every target with what was found;
runs that it holds already and that are not asked for are kept.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from _stamp import stamp

from airloom.files import write_json
from airloom.study import Study, changed, load
from airloom.twin.world import Plan

ROOT = Path(__file__).parents[1]
DAYS = 9  # of each month: 324 to train on, 108 to adapt to and be scored by
HOUR = 3600
BY_LEVEL = {0.0: 0.85, 500.0: 0.79, 1000.0: 0.72}  # least R² of phase 1 against the reanalysis, by height [m]
POOLED = 0.90  # the same over all levels
BETTER = 0.10  # share by which phase 3 must err less than CAMS at 2 km
MORE = 0.05  # by which its R² must exceed that of CAMS
ANOMALOUS = 2020


def variants(study: Study, base: Path) -> dict[str, dict[str, Any]]:
    """What each variant changes in the study; as many samples are seen, or as much time is taken, by all.

    `base`: the run that one of them starts from.
    """
    one, two, three = (p.model_dump(mode="json") for p in study.phases)
    alone = {**one, "number": 2, "loss": two["loss"], "epochs": one["epochs"] + two["epochs"]}
    without = {**two["loss"], "station_mse": 1, "chemistry_mse": 0, "chemistry_ssim": 0}
    years = sorted([*one["years"], ANOMALOUS])
    longer = len(years) / len(one["years"])
    fewer = {p["number"]: round(p["epochs"] / longer) for p in (one, two)}
    coarse = [{**c, "epochs": round(c["epochs"] / longer)} for c in one["coarse"]]
    inflated = [{**one, "years": years, "epochs": fewer[1], "coarse": coarse}, {**two, "years": years, "epochs": fewer[2]}]
    return {
        "as-published": {
            "method.gain": False,
            "method.pyramid": False,
            "phases.0.coarse": [],
            "phases.0.epochs": 3,
            "phases.0.learning_rate": one["coarse"][0]["learning_rate"],
            "phases.1.own_shares": False,
            "phases.2.own_shares": False,
        },
        "stations-only": {"phases": [{**alone, "loss": without}, three]},
        "no-phase-1": {"phases": [alone, three]},
        "anomalous-year-in": {"phases": [*inflated, three]},
        "anomalous-year": {
            "base": str(base),
            "phases": [{**three, "years": [ANOMALOUS]}],
            "verification.years": [ANOMALOUS],
        },
        "overpass": {"stations.min_hours": 2, "hours": [11, 14]},
        "bfloat16": {"method.precision": "bfloat16"},
    }


def plan(study: Study, days: int) -> Plan:
    """The twin of the study's window and period, of so many days of each month."""
    lon, lat = study.grid.centre
    size, cell = study.grid.shape[0] * study.grid.cell, study.grid.cell
    return Plan(study.period.start, study.period.end, lon=lon, lat=lat, size=size, cell=cell, days=days)


def airloom_command(*words: object, ranks: int = 1, threads: int | None = None) -> None:
    """Run a verb as a user would, its progress shown; shared by ranks of so many threads each."""
    scripts = Path(sys.executable).parent
    command = [scripts / "airloom"] if ranks == 1 else [scripts / "torchrun", "--nproc-per-node", ranks, "-m", "airloom"]
    limit = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    subprocess.run([*map(str, [*command, *words])], check=True, stdout=subprocess.DEVNULL, env={**os.environ, **limit})


def make_twin(asked: Plan, folder: Path, cores: int) -> None:
    """The twin's files; goes on with what is there."""
    options = {"start": asked.start, "end": asked.end, "days": asked.days, "cores": cores}
    options |= {"lon": asked.lon, "lat": asked.lat, "size": asked.size, "cell": asked.cell}
    airloom_command("twin", "make", folder, *(word for k, v in options.items() for word in (f"--{k}", v)))


def carry(name: str, study: Study, folder: Path, cores: int) -> dict[str, Any]:
    """One run from files to a report; its scores in short."""
    path, run = folder / "studies" / f"{name}.yaml", folder / "runs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True), encoding="utf-8")
    at = path, "--data", folder / "twin", "--folder", run
    airloom_command("prepare", *at, "--workers", cores)
    ranks = math.gcd(cores, *(p.accumulate for p in study.phases))  # which share a step's micro-batches evenly
    for verb in ("train", "predict"):
        airloom_command(verb, *at, ranks=ranks, threads=cores // ranks)
    for verb in ("evaluate", "report"):
        airloom_command(verb, *at)
    scores = json.loads((run / "scores.json").read_text())
    strata = {"all", "urban", "suburban", "rural", "anomaly", "column 0-1000 m", "column 1000-5000 m"}
    return {
        "run": name,
        "seed": study.seed,
        "phases": [p.number for p in study.phases],
        "rows": [r for r in scores["rows"] if r["stratum"] in strata],
        "differences": scores["differences"],
        "seconds": json.loads((run / "timings.json").read_text()),
    }


def row(found: dict[str, Any], model: str, phase: int | None, target: str, level: float | None = None) -> dict[str, Any]:
    """The scores of one model, all stations or cells; at stations the level is the ground's."""
    wanted = {"model": model, "phase": phase, "target": target, "stratum": "all"}
    rows = [r for r in found["rows"] if all(r[k] == v for k, v in wanted.items())]
    return next(r for r in rows if target == "withheld" or r["level"] == level)


def targets(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target beside what a run of all phases reached; phase 3 is the final field, drawn to the day's training stations."""
    told: list[dict[str, Any]] = []
    final = "dacno2-assimilated"

    def tell(what: str, value: float, *, least: float | None = None, most: float | None = None, met: bool = True) -> None:
        met = bool(met and (least is None or value >= least) and (most is None or value <= most))
        told.append({"what": what, "found": round(value, 4), "least": least, "most": most, "met": met})

    for level, least in BY_LEVEL.items():
        tell(f"phase 1 against the reanalysis at {level:g} m, R²", row(found, "dacno2", 1, "cams", level)["r2"], least=least)
    tell("phase 1 against the reanalysis, pooled R²", row(found, "dacno2", 1, "cams")["r2"], least=POOLED)
    ours, cams = (row(found, m, p, "withheld") for m, p in ((final, 3), ("cams-2km", None)))
    apart = next(d for d in found["differences"] if (d["model"], d["target"]) == ("cams-2km", "withheld"))
    sure = apart["rmse_excludes_zero"] and apart["r2_excludes_zero"]
    tell("phase 3 / CAMS at withheld stations, RMSE", ours["rmse"] / cams["rmse"], most=1 - BETTER, met=sure)
    tell("phase 3 - CAMS at withheld stations, R²", ours["r2"] - cams["r2"], least=MORE, met=sure)
    before = row(found, "dacno2", 2, "withheld")
    tell("bias of phase 3 / phase 2 at withheld stations", abs(ours["bias"] / before["bias"]), most=0.5)
    heights = sorted({r["level"] for r in found["rows"] if r["target"] == "truth" and r["level"] is not None})
    for level in heights:
        ours, cams = (row(found, m, p, "truth", level) for m, p in ((final, 3), ("cams-2km", None)))
        most = 1.0 if level else 1 - BETTER
        tell(f"phase 3 / CAMS against the truth at {level:g} m, RMSE", ours["rmse"] / cams["rmse"], most=most)
    tell("training, minutes", found["seconds"]["train"] / 60, most=HOUR / 60)
    return told


def show(found: dict[str, Any]) -> None:
    """A run's scores at withheld stations, and its targets."""
    for r in found["rows"]:
        if (r["target"], r["stratum"]) == ("withheld", "all"):
            label = r["model"] if r["phase"] is None else f"{r['model']} phase {r['phase']}"
            print(f"{found['run']:18} {label:28} n {r['n']} RMSE {r['rmse']:.2f} R² {r['r2']:.3f} bias {r['bias']:+.2f}")
    for t in found.get("targets", []):
        bound = f"≥ {t['least']:g}" if t["least"] is not None else f"≤ {t['most']:g}"
        print(f"{found['run']:18} {t['what']:58} {t['found']:8.3f}  {bound:8} {'met' if t['met'] else 'NOT met'}")
    sys.stdout.flush()


def keep(found: dict[str, Any], twin: Plan, path: Path) -> None:
    """Put a run among those of the same twin that were made before."""
    before = json.loads(path.read_text()) if path.is_file() else {}
    known = before["runs"] if before.get("twin") == twin.to_json() else []
    runs = {r["run"]: r for r in [*known, {**found, **stamp("torch")}]}
    write_json(path, {"twin": twin.to_json(), "runs": [runs[name] for name in sorted(runs)]})


def main() -> None:
    """Make, run, compare, write."""
    study = load(ROOT / "studies" / "po-valley.yaml")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3], help="none: the variants alone")
    parser.add_argument("--variants", nargs="*", default=[], choices=list(variants(study, ROOT)))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--days", type=int, default=DAYS, help="of each month, from 4 on")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    folder, twin = asked.folder.resolve(), plan(study, asked.days)
    stem = "skill" if asked.days == DAYS else f"skill-{asked.days}"
    out = asked.out or ROOT / "benchmarks" / "results" / f"{stem}.json"
    make_twin(twin, folder / "twin", asked.cores)
    for seed in asked.seeds:
        found = carry(f"seed-{seed}", changed(study, {"seed": seed}), folder, asked.cores)
        found["targets"] = targets(found)
        show(found)
        keep(found, twin, out)
    first = asked.seeds[0] if asked.seeds else 1
    for name in asked.variants:
        changes = {"seed": first, **variants(study, folder / "runs" / f"seed-{first}")[name]}
        found = carry(name, changed(study, changes), folder, asked.cores)
        show(found)
        keep(found, twin, out)


if __name__ == "__main__":
    main()
