"""The frame of every HTML page: its template, figures in both themes, lists of facts."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from gac.errors import UserError
from gac.report.style import DARK, LIGHT, Theme

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")

Caption = tuple[str, str]
"""The title of a figure, and the words below it."""


def page(title: str, body: str) -> str:
    """A whole page; `title` is plain text, `body` an HTML fragment."""
    style = files("gac.report").joinpath("report.css").read_text(encoding="utf-8")
    return PAGE.substitute(title=escape(title), style=style, body=body)


def refuse_folder(out: Path, example: str) -> None:
    """Refuse to write a page where a folder is.

    Raises:
        UserError: `out` is a folder.
    """
    if out.is_dir():
        raise UserError(f"{out} is a folder, expected a file; give a name such as {out / example}")


def picture(
    key: str, caption: Caption, draw: Callable[[Theme], Figure], name: str | None = None, extra: str = ""
) -> str:
    """A figure in both themes, the page shows the one that fits the reader's.

    Args:
        key: Class of the figure in the page.
        caption: Plain text.
        draw: Draws the figure in a theme.
        name: What follows the title, where several figures share it.
        extra: HTML after the caption's words.
    """
    title, words = caption
    of = "" if name is None else f"<span>{wrap(name)}</span>"
    alternative = escape(f"{title}{'' if name is None else ', ' + name}. {words}")
    return (
        f'<figure class="{key}"><h3>{title}{of}</h3><picture>'
        f'<source media="screen and (prefers-color-scheme: dark)" srcset="{embedded(draw(DARK), DARK)}">'
        f'<img src="{embedded(draw(LIGHT), LIGHT)}" alt="{alternative}"></picture>'
        f"<figcaption>{words}{extra}</figcaption></figure>"
    )


def embedded(figure: Figure, theme: Theme) -> str:
    """The figure as a data URI of an SVG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with theme.context():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], kind: str) -> str:
    """A table of plain text, each row headed by its first cell; `kind` is its class in the page."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def definitions(facts: Mapping[str, str]) -> str:
    """A list of facts by their names, plain text both."""
    return f"<dl>{''.join(_definition(key, value) for key, value in facts.items())}</dl>"


def _definition(key: str, value: str) -> str:
    return f"<div><dt>{escape(key)}</dt><dd>{wrap(value)}</dd></div>"


def wrap(text: str) -> str:
    """Escaped, with places where a long path or name may break."""
    return escape(text).replace("/", "/<wbr>")
