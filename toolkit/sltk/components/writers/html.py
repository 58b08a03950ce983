"""The `html` writer: one page with the spans highlighted, that needs no other file and no script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pydantic import Field

from ...files import web_page
from ...files.web_page import safe
from ...types import Prediction
from ..registry import register
from ..slots import Writer
from .highlights import Highlight, highlights, text_and_offsets

_STYLE = """:root { --fill: 92%; --edge: 72%; --name: 32%; }
@media (prefers-color-scheme: dark) { :root { --fill: 22%; --edge: 42%; --name: 78%; } }
body { font-size: 1.05rem; line-height: 1.9; max-width: 52rem; }
h1 { font-size: 1.3rem; font-weight: 600; }
ol { list-style: none; padding: 0; counter-reset: s; }
ol > li { counter-increment: s; position: relative; padding: .35rem 0 .35rem 3.2rem;
  border-top: 1px solid var(--rule); white-space: pre-wrap; overflow-wrap: anywhere; min-height: 1.9em; }
ol > li::before { content: counter(s); position: absolute; left: 0; color: var(--faint); font-size: .8rem; }
mark { color: inherit; background: hsl(var(--hue) 70% var(--fill)); padding: .15em .3em; border-radius: .3em;
  border: 1px solid hsl(var(--hue) 50% var(--edge)); -webkit-box-decoration-break: clone;
  box-decoration-break: clone; }
mark > small { font-size: .68em; font-weight: 600; letter-spacing: .02em; margin-inline-start: .45em;
  color: hsl(var(--hue) 70% var(--name)); user-select: none; }
footer { display: flex; flex-wrap: wrap; gap: .6rem 1rem; padding: 1rem 0; color: var(--faint);
  border-top: 2px solid var(--rule); position: sticky; bottom: 0; background: var(--paper);
  font-size: .9rem; }
footer mark { color: var(--ink); }
"""


@register.writer("html")
class HtmlWriter(Writer):
    """A self-contained page: spans highlighted in a colour per type, with their scores, and a legend.

    Follows the browser's light or dark mode. Plain tags, which form no spans, mark every word.
    """

    title: str = Field(default="Labelled text", description="title of the page")

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """The head of the page, one piece a sentence, and a legend of the types, with counts."""
        yield web_page.opening(self.title, _STYLE, language="und")
        yield f"<h1>{safe(self.title)}</h1>\n<ol>\n"
        counts: Counter[str] = Counter()  # keeps the order of first occurrence, which decides the colours
        sentences = 0
        for prediction in predictions:
            sentences += 1
            spans = highlights(prediction)
            counts.update(span.type for span in spans)
            opening = {type_: _opening(place) for place, type_ in enumerate(counts)}
            yield f'<li dir="auto">{_marked(text_and_offsets(prediction)[0], spans, opening)}</li>\n'
        yield _foot(sentences, counts)


def _opening(place: int) -> str:
    """The tag that opens a span; steps of the golden angle keep the hues of neighbours far apart."""
    return f'<mark style="--hue:{(210 + 137.5 * place) % 360:g}">'


def _foot(sentences: int, counts: Counter[str]) -> str:
    total = f"{sentences} sentence{'' if sentences == 1 else 's'}"
    legend = "".join(
        f"<span>{_opening(place)}{safe(type_)}</mark> {count}</span>\n"
        for place, (type_, count) in enumerate(counts.items())
    )
    return f"</ol>\n<footer><span>{total}</span>\n{legend}</footer>\n{web_page.ENDING}"


def _marked(text: str, spans: list[Highlight], opening: dict[str, str]) -> str:
    """The text with its spans marked. Elements must nest: a span that crosses another comes in pieces."""
    pieces: list[str] = []
    open_spans: list[Highlight] = []  # outermost first
    places = sorted({0, len(text), *(place for span in spans for place in (span.start, span.end))})
    waiting = spans[::-1]
    for place, following in zip(places, [*places[1:], len(text)], strict=True):
        ending = [span for span in open_spans if span.end <= place]
        if ending:
            cut = open_spans.index(ending[0])
            again = [span for span in open_spans[cut:] if span.end > place]
            pieces += [_close(span, span.end <= place) for span in reversed(open_spans[cut:])]
            pieces += [opening[span.type] for span in again]
            open_spans[cut:] = again
        while waiting and waiting[-1].start <= place:
            open_spans.append(waiting.pop())
            pieces.append(opening[open_spans[-1].type])
        pieces.append(safe(text[place:following]))
    return "".join(pieces)


def _close(span: Highlight, whole: bool) -> str:
    """The end of a mark, with the type's name where the span itself ends."""
    if not whole:
        return "</mark>"
    title = "" if span.score is None else f' title="score {span.score:.4f}"'
    return f"<small{title}>{safe(span.type)}</small></mark>"
