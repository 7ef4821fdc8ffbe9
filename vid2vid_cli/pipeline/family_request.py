"""Options that only some families support: applied to the model, or refused before any work."""

from __future__ import annotations

from dataclasses import fields, replace

from vid2vid_cli.errors import UsageError
from vid2vid_cli.geometry.regions import Region
from vid2vid_cli.models.base import Adjustable, Family, FamilyRequest
from vid2vid_cli.models.registry import FAMILIES, LoadedModel
from vid2vid_cli.pipeline.options import EngineOptions
from vid2vid_cli.pipeline.pose import Sweeps

MAX_OPENING = 2.0  # height over width: rounder than any eye or mouth


def apply_request(loaded: LoadedModel, options: EngineOptions) -> LoadedModel:
    """Return the model, adjusted as the options ask. UsageError for an option that its family does not support."""
    request = _request_of(options)
    for name in ("eyes", "lips"):
        ratio = getattr(request, name)
        if ratio is not None and not 0 <= ratio <= MAX_OPENING:
            raise UsageError(f"--{name} {ratio:g}: write height over width, from 0 (closed) to {MAX_OPENING:g}")
        if ratio is not None and getattr(request, f"retarget_{name}"):
            raise UsageError(f"--{name} and --retarget-{name}: choose one, a fixed opening or the driving's")
    for name in sorted(request.named() - loaded.family.request):
        able = " or ".join(family.name for family in FAMILIES if name in family.request)
        raise UsageError(f"--{name.replace('_', '-')}: {loaded.family.name} does not support it; it is for -c {able}")
    if not request.named() or not isinstance(loaded.model, Adjustable):
        return loaded
    return replace(loaded, model=loaded.model.adjusted(request))


def _request_of(options: EngineOptions) -> FamilyRequest:
    """Collect the request out of a command's options. What the command has no option for is not requested."""
    return FamilyRequest(
        **{f.name: getattr(options, f.name) for f in fields(FamilyRequest) if hasattr(options, f.name)}
    )


def check_family(family: Family, sweeps: Sweeps, region: Region = "all") -> None:
    """Raise UsageError for angles or a region that a family does not support."""
    if any(sweeps) and not family.has_head_pose:
        able = " or ".join(other.name for other in FAMILIES if other.has_head_pose)
        raise UsageError(f"-c {family.name}: it has no head pose and cannot turn a head; use -c {able}")
    if region not in family.regions:
        known = ", ".join(sorted(family.regions))
        raise UsageError(f"--region {region}: {family.name} cannot move it alone; it supports {known}")
