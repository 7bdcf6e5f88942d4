"""The command line: from words to a command, and from an exception to one line and an exit code."""

import contextlib
import errno
import functools
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro

from gac.cli import acting, commands, data
from gac.compare.command import compare
from gac.config import OnlineConfig
from gac.errors import UserError
from gac.methods import METHODS, method_named, read_config
from gac.version import __version__

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": commands.demo,
    "data": data.data,
    "train": commands.train,
    "evaluate": acting.evaluate,
    "compare": compare,
    "finetune": commands.finetune,
    "consistency": acting.consistency,
    "report": commands.report,
    "bench": commands.bench,
}
DATA_COMMANDS: dict[str, Callable[..., None]] = {
    "list": data.data_list,
    "make": data.data_make,
    "fetch": data.data_fetch,
    "inspect": data.data_inspect,
    "convert": data.data_convert,
}


def base_config(args: Sequence[str]) -> Any:
    """What unset flags of `gac train` mean: the run's own values with --resume, else those of --preset.

    Its type is that of the method's configuration.
    """
    name, method = option(args, "--preset"), option(args, "--method")
    out = option(args, "--out")
    saved = Path(out) / "config.json" if out else None
    if out and option(args, "--seeds"):
        each = Path(out).glob("seed-*/config.json")
        saved = min(each, key=lambda path: (len(path.parent.name), path.parent.name), default=None)
    if saved is None or "--resume" not in args or not saved.exists():
        return method_named(method or "gac").preset(name)
    config = read_config(saved.parent)
    if method not in (None, config.method):
        raise UserError(
            f"--method is {method}, and {saved.parent} is a run of method {config.method}; leave out "
            "--method with --resume"
        )
    if name not in (None, config.preset):
        raise UserError(
            f"--preset is {name}, the run began from {config.preset}; leave out --preset with --resume"
        )
    return config


def base_online(args: Sequence[str]) -> OnlineConfig:
    """What unset flags of `gac finetune` mean: the folder's own values with --resume, else the defaults."""
    out = option(args, "--out")
    if out is None or "--resume" not in args or not (Path(out) / "online.json").exists():
        return OnlineConfig()
    from gac.records import read_online

    return read_online(Path(out))[1]


def option(args: Sequence[str], flag: str) -> str | None:
    """The value of a flag, given as `--flag value` or `--flag=value`; the last one counts."""
    value = None
    for word, following in zip(args, [*args[1:], None], strict=True):
        if word == flag:
            value = following
        elif word.startswith(f"{flag}="):
            value = word.removeprefix(f"{flag}=")
    return value


def parse(args: Sequence[str]) -> Callable[[], None]:
    """The command that the words ask for, bound to its arguments but not yet run.

    Raises:
        UserError: what tyro objects to, in one line.
        SystemExit: help was asked for and printed.
    """
    if args == ["--version"]:
        return functools.partial(print, f"gac {__version__}")
    if args[:1] == ["data"] and args[1:2] not in ([], ["-h"], ["--help"]):
        prog, table, words = "gac data", dict(DATA_COMMANDS), args[1:]
    else:
        prog, table, words = "gac", dict(COMMANDS), args
    if args[:1] == ["train"]:
        config = base_config(args)
        table["train"] = functools.partial(METHODS[config.method].part("command"), config=config)
    if args[:1] == ["finetune"]:
        table["finetune"] = functools.partial(commands.finetune, config=base_online(args))
    said = io.StringIO()
    helped = " ".join([prog, *words[:1]]) if words and words[0] in table else prog
    try:
        with contextlib.redirect_stderr(said):
            command: Callable[[], None] = tyro.extras.subcommand_cli_from_dict(
                {name: _bound_later(function) for name, function in table.items()},
                prog=prog,
                description="Generative Actor Critic: decisions as inference in one model. "
                "gac --version prints the version.",
                args=words,
            )
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise UserError(_one_line(said.getvalue(), helped)) from None
    return command


def _bound_later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """What tyro calls instead of the command, which runs after parsing: its errors are not about flags."""
    named = getattr(command, "func", command)

    @functools.wraps(named)
    def bind(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    if named is not command:
        command.__doc__ = named.__doc__
        bind.__wrapped__ = command
    return bind


def _one_line(box: str, prog: str) -> str:
    """tyro's boxed message as one line: its first box, without the frame and the help text of the flag."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    # A terminal without line drawing gets no frame, and the title above the first rule.
    title = r"(?m)^╭.*$|[│╰╯]" if "╭" in plain else r"\A.*\n *-{3,} *\n"
    body = re.sub(title, "", plain.split("╰")[0])
    parts = [" ".join(part.split()) for part in re.split(r"(?m)^ *[─-]{3,} *$", body)]
    kept = [
        part for part in parts if part and not part.startswith(("Argument helptext", "For full helptext"))
    ]
    # Where no single flag is wrong, tyro names an object of its own; our words name what is.
    kept = [re.sub(r"^Error parsing (?!-)[^:]+: ", "", part).rstrip(".") for part in kept]
    return "; ".join(kept) + f"; see {prog} --help"


REFUSALS = {
    errno.ENOENT: "no such file or folder; check the name",
    errno.EACCES: "permission denied; choose a place you may use",
    errno.EPERM: "not permitted; choose a place you may use",
    errno.EROFS: "read-only file system; choose another place",
    errno.ENOSPC: "the disk is full; free some space and try again (a run goes on with --resume)",
    errno.EDQUOT: "the disk quota is used up; free some space and try again (a run goes on with --resume)",
    errno.EFBIG: "the file may not grow so large; raise the limit (ulimit -f), or choose another place",
    errno.EIO: "the disk does not answer; check it, or choose another place",
    errno.ENOTDIR: "a part of the path is a file, expected a folder; check the name",
    errno.EISDIR: "is a folder, expected a file; check the name",
    errno.EEXIST: "exists already; choose another name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def refusal(error: Exception) -> str | None:
    """One line for what a person can mend, None for a defect of ours, which deserves its traceback."""
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    # safetensors writes the number of an OSError in its message only.
    found = re.search(r"\(os error (\d+)\)", str(error)) if "safetensors" in type(error).__module__ else None
    found_number = (
        int(found[1]) if found else getattr(error, "errno", None) if isinstance(error, OSError) else None
    )
    if found_number not in REFUSALS:
        return None
    where = getattr(error, "filename", None)
    return f"{where}: {REFUSALS[found_number]}" if where else REFUSALS[found_number]


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings for a person as one line each, without a place in the source, which tells them nothing."""
    usual = warnings.formatwarning

    def plain(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> str:
        if not issubclass(category, UserWarning):
            return usual(message, category, *place, **more)
        return f"gac: warning: {' '.join(str(message).split())}\n"

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = usual


@_plain_warnings()
def main(args: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, 2 for a user's mistake, 130 for Ctrl-C."""
    try:
        parse(sys.argv[1:] if args is None else list(args))()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader left (`gac data list | head`): nothing to say, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stop:
        print(f"gac: {stop}" if str(stop) else "gac: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        message = refusal(error)
        if message is None:
            raise
        print(f"gac: {message}", file=sys.stderr)
        return 2
    return 0


def entry() -> None:
    """The `gac` script."""
    sys.exit(main())
