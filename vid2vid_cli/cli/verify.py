"""The command `vid2vid verify`, and the line about credentials in `vid2vid info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import fail, guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import MediaError, Vid2VidError, one_line

if TYPE_CHECKING:
    from vid2vid_cli.pipeline.verify import Verdict

UNREADABLE = 1


@takes_options
@guarded
def verify(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Pictures, films, or folders of frames.")],
    trust: Annotated[
        str | None,
        typer.Option("--trust", help="Certificates (PEM) of issuers that you trust.", metavar="FILE"),
    ] = None,
    watermark: Annotated[
        bool, typer.Option("--watermark/--no-watermark", help="Look for the watermark too, which takes longer.")
    ] = True,
    *,
    verbosity: Verbosity,
) -> int:
    """Say who signed FILE, whether it is as it was signed, and what it was made from.

    Exit code: 0 trusted, 6 self-asserted, 7 tampered, 8 no credentials; of several files, that of the worst.
    """
    found: list[Verdict] = []
    code = 0
    with Reporter(verbosity, "files") as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.verify import EXIT_CODES, WORST_FIRST, files_of
            from vid2vid_cli.pipeline.verify import verify as run

        for path in (file for named in files for file in _all(files_of(Path(named)), named)):
            try:
                found.append(run(path, None if trust is None else Path(trust), looks_for_watermark=watermark))
            except MediaError as error:  # one file that cannot be read must not hide what the others are
                code = fail(str(error), UNREADABLE)
    standings = {each.standing for each in found}
    worst = next((each for each in WORST_FIRST if each in standings), None)
    code = code or (0 if worst is None else EXIT_CODES[worst])
    text = "\n".join(line for each in found for line in lines_of(each))
    reporter.print_result(text, {"worst": worst, "files": [facts_of(each) for each in found]})
    return code


def _all(files: Any, named: str) -> list[Path]:
    found = list(files)
    if not found:
        raise Vid2VidError(f"{named}: holds no picture or film; name a file")
    return found


def standing_line(verdict: Verdict) -> str:
    """Describe in one line what the credentials are worth."""
    credentials = verdict.credentials
    if credentials.standing == "none":
        return "no credentials"
    faults = f" ({', '.join(credentials.faults)})" if credentials.faults else ""
    if credentials.standing == "tampered":
        return f"tampered: not as it was signed{faults}"
    who = "your own key" if credentials.is_own else "a key that you trust"
    if credentials.standing == "self-asserted" and not credentials.is_own:
        who = "an unknown key"
    place = ", credentials in the file beside it" if credentials.where == "beside" else ""
    return f"{credentials.standing}: signed by {who}, {credentials.signer}; unchanged since{place}"


def may_have_credentials(file: str) -> bool:
    """Say whether a file is a picture or a film by its name, and no call by its content."""
    with signals_held():
        from vid2vid_cli.media.credentials.signing import BESIDE, INSIDE, SIDECAR
        from vid2vid_cli.pipeline.driving.call_file import is_call_file

    return Path(file).suffix.lower() in {**INSIDE, **BESIDE, SIDECAR: ""} and not is_call_file(Path(file))


def credentials_of(file: str) -> tuple[str, dict[str, Any]]:
    """Return the line about a picture or a film, and its facts as JSON values."""
    from vid2vid_cli.pipeline.verify import verify as run

    found = run(Path(file), looks_for_watermark=False)
    return one_line(f"{file}: {standing_line(found)}"), facts_of(found)


def lines_of(verdict: Verdict) -> list[str]:
    """Describe a file in lines: what its credentials are worth, what they say, and the watermark."""
    head = f"{verdict.path}: {standing_line(verdict)}"
    lines = []
    if verdict.tool:
        lines.append(f"made by: {verdict.tool}: {', '.join(verdict.actions) or 'no actions stated'}")
    lines += [f"from: {each['role']} {each['id']}".rstrip() for each in verdict.ingredients]
    made = verdict.made
    options = made.get("options") or {}
    if made:
        how = ", ".join(f"{name}={value}" for name, value in options.items())
        lines.append(f"how: {made.get('command', '')} {how}".rstrip())
    if "checkpoint_sha256" in made:
        lines.append(f"checkpoint: sha256:{made['checkpoint_sha256']}")
    if "edited_words" in made:
        lines.append(f"edited words: {'; '.join(map(str, made['edited_words']))}")
    if verdict.bits is not None:
        lines.append(f"watermark: {verdict.bits}{_agreement(verdict)}")
    return [one_line(head), *(f"  {one_line(line)}" for line in lines)]


def _agreement(verdict: Verdict) -> str:
    if verdict.stated_bits is None:
        return ", of vid2vid"
    return (
        ", as the credentials say" if verdict.stated_bits == verdict.bits else f", not {verdict.stated_bits} as stated"
    )


def facts_of(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON values."""
    credentials = verdict.credentials
    return {
        "file": str(verdict.path),
        "standing": credentials.standing,
        "signer": credentials.signer or None,
        "is_own": credentials.is_own,
        "where": credentials.where or None,
        "faults": list(credentials.faults),
        "tool": verdict.tool or None,
        "actions": verdict.actions,
        "ingredients": verdict.ingredients,
        "made": verdict.made or None,
        "watermark": verdict.bits,
        "stated_watermark": verdict.stated_bits,
        "manifest": credentials.manifest or None,
    }
