"""A few hand-written sentences, which a rehearsal reads in place of missing data files."""

from __future__ import annotations

from ..schemes import decode
from ..types import Sentence

# Words as `word/TAG`, in IOB2. Every type occurs more than once, and one span has three words.
_TAGGED = (
    "Mira/B-PER Okafor/I-PER moved/O to/O Lisbon/B-LOC in/O May/O ./O",
    "The/O Harbour/B-ORG Rowing/I-ORG Club/I-ORG hired/O Jonas/B-PER Lind/I-PER ./O",
    "Nobody/O answered/O the/O letter/O ./O",
    "In/O Turku/B-LOC ,/O Baltic/B-ORG Timber/I-ORG opened/O a/O second/O mill/O ./O",
    "Rain/O fell/O on/O Graz/B-LOC all/O night/O ./O",
    "Adela/B-PER Novak/I-PER chairs/O Northern/B-ORG Ferries/I-ORG ./O",
    "He/O took/O the/O slow/O train/O home/O ./O",
    "Lisbon/B-LOC and/O Turku/B-LOC signed/O the/O treaty/O ./O",
)
_ASPECTS = (
    "The/O walnut/B-positive cake/I-positive was/O wonderful/O ./O",
    "Our/O waiter/B-negative forgot/O us/O twice/O ./O",
    "We/O came/O back/O on/O Sunday/O ./O",
    "The/O soup/B-neutral comes/O with/O bread/B-neutral ./O",
    "A/O lovely/O terrace/B-positive ,/O a/O dreadful/O kitchen/B-negative ./O",
    "The/O music/B-conflict was/O good/O but/O far/O too/O loud/O ./O",
)
_EVENTS = (
    "Rebels/O attacked/B-Conflict:Attack the/O depot/O at/O dawn/O ./O",
    "The/O two/O ministers/O met/B-Contact:Meet on/O Friday/O ./O",
    "Nothing/O else/O happened/O ./O",
    "Her/O grandmother/O passed/B-Life:Die away/I-Life:Die in/O June/O ./O",
    "The/O raid/B-Conflict:Attack ended/O quickly/O ./O",
)
_PLAIN = (
    "She/PRON sings/VERB old/ADJ songs/NOUN ./PUNCT",
    "Two/NUM dogs/NOUN barked/VERB ./PUNCT",
    "They/PRON never/ADV slept/VERB ./PUNCT",
    "Old/ADJ boats/NOUN leak/VERB ./PUNCT",
)


def _sentence(line: str) -> Sentence:
    pairs = [item.rsplit("/", 1) for item in line.split()]
    return Sentence([word for word, _ in pairs], [tag for _, tag in pairs])


def tagged_sentences() -> list[Sentence]:
    """Sentences with the names of people, places and organisations (IOB2)."""
    return [_sentence(line) for line in _TAGGED]


def aspect_sentences() -> list[Sentence]:
    """Sentences of restaurant reviews with aspect terms, as spans, and with their text."""
    return [_spans(_sentence(line)).with_text() for line in _ASPECTS]


def event_sentences() -> list[Sentence]:
    """Sentences with event triggers, as spans."""
    return [_spans(_sentence(line)) for line in _EVENTS]


def plain_sentences() -> list[Sentence]:
    """Sentences with parts of speech, one per word."""
    return [_sentence(line) for line in _PLAIN]


def text_sentences() -> list[Sentence]:
    """Sentences without annotation, with their text."""
    return [Sentence(sentence.words).with_text() for sentence in tagged_sentences()]


def _spans(sentence: Sentence) -> Sentence:
    """The sentence with spans in place of its IOB2 tags, which must be well-formed."""
    return Sentence(sentence.words, spans=decode(sentence.tags or [], "IOB2").spans)
