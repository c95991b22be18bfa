"""Methods side by side on real data: same data, same budget, same seeds."""

from labelwise.bench.harness import tables
from labelwise.bench.registry import about, names, run

__all__ = ["about", "names", "run", "tables"]
