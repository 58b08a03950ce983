"""The `html` writer: one page with highlighted spans, without scripts or other files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pydantic import Field

from ...files import web_page
from ...files.web_page import escape_text
from ...types import Prediction, Unused
from ..registry import register
from ..slots import Writer
from .highlights import Highlight, highlights, joined_changes, text_and_offsets

_STYLE = """body { font-size: 1.05rem; line-height: 1.9; max-width: 52rem; }
h1 { font-size: 1.3rem; font-weight: 600; }
ol { list-style: none; padding: 0; counter-reset: s; }
ol > li { counter-increment: s; position: relative; padding: .35rem 0 .35rem 3.2rem;
  border-top: 1px solid var(--rule); white-space: pre-wrap; overflow-wrap: anywhere; min-height: 1.9em; }
ol > li:has(mark mark) { line-height: 2.5; }
ol > li:has(mark mark mark) { line-height: 3.1; }
ol > li:has(mark mark mark mark) { line-height: 3.7; }
ol > li::before { content: counter(s); position: absolute; left: 0; color: var(--faint); font-size: .8rem; }
footer { display: flex; flex-wrap: wrap; gap: .6rem 1rem; padding: 1rem 0; color: var(--faint);
  border-top: 2px solid var(--rule); position: sticky; bottom: 0; background: var(--paper);
  font-size: .9rem; }
footer mark { color: var(--ink); }
"""


@register.writer("html")
class HtmlWriter(Writer):
    """A self-contained page: spans highlighted in one colour per type, with their scores, and a legend.

    Follows the browser's light or dark mode. Spans inside others are boxes in boxes; one that crosses another is in
    pieces with a dashed side. With plain tags, which form no spans, every word is highlighted.
    """

    title: str = Field(default="Labelled text", description="title of the page")

    def changes(self, prediction: Prediction) -> Iterator[Unused]:
        """Discontinuous spans."""
        return joined_changes(prediction)

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """Yield the head of the page, one piece per sentence, and a legend with the count of each type."""
        yield web_page.opening(self.title, _STYLE, language="und")
        yield f"<h1>{escape_text(self.title)}</h1>\n<ol>\n"
        counts: Counter[str] = Counter()  # in order of first occurrence, which determines the colours
        sentences = 0
        for prediction in predictions:
            sentences += 1
            spans = highlights(prediction)
            counts.update(span.type for span in spans)
            hues = {type_: web_page.hue(index) for index, type_ in enumerate(counts)}
            yield f'<li dir="auto">{_highlighted(text_and_offsets(prediction)[0], spans, hues)}</li>\n'
        yield _foot(sentences, counts)


def _opening_tag(hue: float, score: float | None = None, pieces: str = "") -> str:
    """`pieces` says which sides of a span are open because it crosses others: `cut`, `rest` or both."""
    kind = f' class="{pieces}"' if pieces else ""
    return f'<mark{kind} style="--hue:{hue:g}{"" if score is None else f";--score:{score:.4g}"}">'


def _foot(sentences: int, counts: Counter[str]) -> str:
    total = f"{sentences} sentence{'' if sentences == 1 else 's'}"
    legend = "".join(
        f"<span>{_opening_tag(web_page.hue(index))}{escape_text(type_)}</mark> {count}</span>\n"
        for index, (type_, count) in enumerate(counts.items())
    )
    return f"</ol>\n<footer><span>{total}</span>\n{legend}</footer>\n{web_page.ENDING}"


def _highlighted(text: str, spans: list[Highlight], hues: dict[str, float]) -> str:
    """The text with highlighted spans. HTML elements must nest, so a span that crosses another is split."""
    pieces: list[str] = []
    open_spans: list[Highlight] = []  # outermost first

    def open_mark(span: Highlight, kind: str = "") -> None:
        is_cut = any(other.end < span.end for other in open_spans)
        kind = f"{kind} cut".strip() if is_cut else kind
        pieces.append(_opening_tag(hues[span.type], span.score, kind))
        open_spans.append(span)

    places = sorted({0, len(text), *(place for span in spans for place in (span.start, span.end))})
    waiting = spans[::-1]
    for place, following in zip(places, [*places[1:], len(text)], strict=True):
        ending = [span for span in open_spans if span.end <= place]
        if ending:
            cut = open_spans.index(ending[0])
            reopened = [span for span in open_spans[cut:] if span.end > place]
            pieces += [_closing_tag(span, span.end <= place) for span in reversed(open_spans[cut:])]
            del open_spans[cut:]
            for span in reopened:
                open_mark(span, "rest")
        while waiting and waiting[-1].start <= place:
            open_mark(waiting.pop())
        pieces.append(escape_text(text[place:following]))
    return "".join(pieces)


def _closing_tag(span: Highlight, is_end: bool) -> str:
    """The closing tag, with the name of the type at the end of the span."""
    if not is_end:
        return "</mark>"
    title = "" if span.score is None else f' title="score {span.score:.4f}"'
    return f"<small{title}>{escape_text(span.type)}</small></mark>"
