"""The commands `vid2vid credentials ...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity, page_if_alone
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.errors import one_line

if TYPE_CHECKING:
    from vid2vid_cli.media.credentials.keys import SigningKey

Certificate = Annotated[str, typer.Argument(metavar="CERT", help="Certificates in PEM, the key's own first.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="Its private key in PEM, without a password.")]


def credentials(context: typer.Context) -> int:
    """Show or choose the key that signs outputs."""
    return page_if_alone(context)


@takes_options
@guarded
def show(*, verbosity: Verbosity) -> int:
    """Show the key that signs outputs; make it if there is none."""
    from vid2vid_cli.media.credentials.keys import load_or_make

    return _print(load_or_make(), verbosity)


@takes_options
@guarded
def new(*, verbosity: Verbosity) -> int:
    """Make a new key. What the old one has signed stays yours."""
    from vid2vid_cli.media.credentials.keys import make

    return _print(make(replace=True), verbosity)


@takes_options
@guarded
def use(certificate: Certificate, key: Key, *, verbosity: Verbosity) -> int:
    """Sign with a key of your own from now on; both files are copied."""
    from vid2vid_cli.media.credentials.keys import use as take

    return _print(take(Path(certificate), Path(key)), verbosity)


def _print(signing: SigningKey, verbosity: Verbosity) -> int:
    facts: dict[str, Any] = {
        "path": str(signing.path),
        "algorithm": signing.algorithm,
        "subject": signing.leaf.subject.rfc4514_string(),
        "issuer": signing.leaf.issuer.rfc4514_string(),
        "valid_until": signing.valid_until,
        "sha256": signing.fingerprint,
        "is_self_made": signing.is_self_made,
    }
    worth = "made by vid2vid: nobody vouches for it" if signing.is_self_made else "your own"
    text = (
        f"{signing.path}: {signing.algorithm}, {facts['subject']}, valid until {signing.valid_until}, "
        f"sha256 {signing.fingerprint[:16]}; {worth}"
    )
    with Reporter(verbosity) as reporter:
        reporter.print_result(one_line(text), facts)
    return 0


app = typer.Typer(invoke_without_command=True)
app.callback()(credentials)
for command in (show, new, use):
    app.command()(command)
