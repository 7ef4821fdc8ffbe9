"""The command `vid2vid doctor`."""

from __future__ import annotations

from dataclasses import asdict

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import one_line


@takes_options
@guarded
def doctor(*, verbosity: Verbosity) -> int:
    """Check that everything vid2vid needs is installed and works."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.doctor import examine

        checks = examine()
    is_well = all(check.ok for check in checks)
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(one_line(f"{'ok ' if check.ok else 'BAD'}  {check.name:<{width}}  {check.found}"))
        if not check.ok:  # how to fix it goes on a line of its own, under what was found
            lines.append(" " * (width + 7) + one_line(check.cure))
    reporter.print_result("\n".join(lines), {"ok": is_well, "checks": [asdict(check) for check in checks]})
    return 0 if is_well else 1
