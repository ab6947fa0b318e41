"""What each stage of a measurement takes: seconds, and the largest size of the process by its end."""

import time
from dataclasses import dataclass, field

from cohorts.provenance import peak_rss_mib


@dataclass
class Stages:
    """Seconds by stage, summed, and the process's peak resident size by its end (MiB)."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak_rss_mib: dict[str, int] = field(default_factory=dict)
    _open: tuple[str, float] | None = None

    def begin(self, stage: str) -> None:
        """End the stage under way and begin another one."""
        self.end()
        self._open = (stage, time.perf_counter())

    def end(self) -> None:
        """End the stage under way."""
        if self._open:
            stage, began = self._open
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began
            self.peak_rss_mib[stage] = peak_rss_mib()
            self._open = None

    @property
    def facts(self) -> dict[str, dict[str, float]]:
        """Return what a manifest tells of the stages."""
        seconds = {stage: round(spent, 2) for stage, spent in self.seconds.items()}
        return {"seconds": seconds, "peak_rss_mib": dict(self.peak_rss_mib)}
