"""`cleancut`: the command line. Data on stdout, talk on stderr, exit codes as in `exit_codes`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before grpc is loaded: stderr is for people

import click

from cleancut import __version__
from cleancut.cli.exit_codes import Exit, report_error, report_interrupted, report_usage
from cleancut.cli.nouns import Root
from cleancut.cli.settings import load_config, settings_of, shared_options
from cleancut.cli.terminal import asked_output, drop_out, follow_output, lost_output, unwritten
from cleancut.core.primitives.errors import CleancutError


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="CLEANCUT_CONFIG",
    show_envvar=True,
    is_eager=True,
    expose_value=False,
    callback=load_config,
    help="TOML file of these settings. Default: ~/.config/cleancut/config.toml.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def root(context: click.Context) -> None:
    """Consistent backup and restore of a distributed Qdrant."""
    settings_of(context)


root.params.extend(shared_options(inner=False))


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; gives its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    follow_output(asked_output(words, os.environ))
    try:
        _check_text(words)
        result = root.main(args=words, prog_name="cleancut", standalone_mode=False)
    except click.ClickException as error:
        return report_usage(error)
    except (click.Abort, KeyboardInterrupt):
        return report_interrupted("interrupted")
    except CleancutError as error:
        return report_error(error)
    except BrokenPipeError:
        drop_out(sys.stdout)  # such as help text into `| head`
        return Exit.OK
    except OSError as error:
        if not lost_output(error):
            raise
        drop_out(sys.stdout)
        return report_error(unwritten(error))
    return int(result or 0)


def _check_text(arguments: Sequence[str]) -> None:
    """Raises: UsageError, for bytes that are not text, which no name may hold."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"argument {argument!r} is not valid UTF-8") from None


def main() -> None:
    """The console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
