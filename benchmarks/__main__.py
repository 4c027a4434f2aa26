"""Run a benchmark by its name: `python -m benchmarks NAME [its options] [--json]`; without a name, list them."""

import contextlib
import runpy
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def names() -> dict[str, str]:
    """Each script's name, and the first line of what it says of itself."""
    scripts = (p for p in sorted(HERE.glob("*.py")) if not p.stem.startswith("_"))
    return {p.stem: p.read_text(encoding="utf-8").split('"""')[1].splitlines()[0] for p in scripts}


def main(words: list[str]) -> None:
    """Run the script as if it had been called itself; with --json, print what it wrote to results and no more."""
    known = names()
    if not words or words[0] not in known:
        if words:
            print(f"{words[0]}: there is no such benchmark.", file=sys.stderr)
        print("\n".join(f"{name:16} {what}" for name, what in known.items()))
        sys.exit(2 if words else 0)
    name, options = words[0], [w for w in words[1:] if w != "--json"]
    as_json, started = "--json" in words, time.time()
    sys.argv = [str(HERE / f"{name}.py"), *options]
    sys.path.insert(0, str(HERE))  # scripts import one another
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        runpy.run_path(sys.argv[0], run_name="__main__")
    if as_json:
        for path in sorted(RESULTS.glob("*.json"), key=lambda p: p.stat().st_mtime):
            if path.stat().st_mtime >= started:
                print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
