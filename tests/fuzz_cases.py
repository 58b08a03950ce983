"""Valid files of every format, and the ways in which the fuzz tests break them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sltk.components.registry import registry
from sltk.components.slots import Reader

Counts = tuple[int, int | None]
"""Number of characters other than white space, and of annotated spans (None if it depends on the scheme)."""


@dataclass(frozen=True)
class ValidFile:
    """A valid file of a format, and an independent parser that counts its contents."""

    name: str
    reader: str
    text: str
    count: Callable[[str], Counts]
    span: tuple[str, str] = ("", "")
    """The text before the first offset of a span, and between its offsets; the first occurrence is used."""
    word: str = ""
    """A word as the file writes it, to be replaced by values of other types."""
    options: dict[str, Any] = field(default_factory=dict)

    def put(self, folder: Path, content: bytes) -> Path:
        """Write a file with this content; for brat, a pair of files whose annotations have it."""
        if self.reader == "brat":
            (folder / "a.txt").write_text(BRAT_TEXT, encoding="utf-8")
            (folder / "a.ann").write_bytes(content)
            return folder / "a.txt"
        path = folder / "data.file"
        path.write_bytes(content)
        return path

    def open(self, path: Path) -> Reader:
        """The reader for such a file."""
        reader = registry.find("reader", self.reader).model_validate({"path": path, **self.options})
        assert isinstance(reader, Reader)
        return reader

    def with_offsets(self, start: str, end: str) -> str:
        """The text with other offsets of a span."""
        before, between = map(re.escape, self.span)
        match = re.search(rf"({before})-?\d+({between})-?\d+", self.text)
        assert match is not None, self.name
        return "".join((self.text[: match.start()], match[1], start, match[2], end, self.text[match.end() :]))


def visible(texts: Iterable[str]) -> int:
    """The number of characters other than white space."""
    return sum(len("".join(text.split())) for text in texts)


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in _text_lines(text) if line.strip(" \t")]


def _text_lines(text: str) -> list[str]:
    return re.split("\r\n|\n" if "\n" in text else "\r", text)


def _of_conll(text: str) -> Counts:
    lines = [line for line in _text_lines(text) if line.strip(" \t")]
    words = [
        re.split(r"[ \t]+", line.strip(" \t"))[0] for line in lines if not re.match(r"-DOCSTART-(\s|$)", line)
    ]
    return visible(words), None


def _of_csv(text: str) -> Counts:
    rows = list(csv.DictReader(io.StringIO(text)))
    return visible(word for row in rows for word in re.findall(r"'([^']*)'", row["tokens"])), None


def _of_csv_words(text: str) -> Counts:
    return visible(row["word"] for row in csv.DictReader(io.StringIO(text))), None


def _of_conllu(text: str) -> Counts:
    rows = [row for row in _rows(text) if not row[0].startswith("#")]
    return visible(row[1] for row in rows if row[0].isdecimal()), None


def _of_semeval(text: str) -> Counts:
    root = ElementTree.fromstring(text.encode())
    texts = ["".join(each.itertext()) for each in root.iter("text")]
    return visible(texts), sum(1 for _ in root.iter("aspectTerm"))


def _of_reviews(text: str) -> Counts:
    """Count the sentences that are not out of scope, and their distinct targets with a polarity."""
    root = ElementTree.fromstring(text.encode())
    sentences = [
        each
        for each in root.iter("sentence")
        if each.get("OutOfScope") != "TRUE" or each.find(".//Opinion") is not None
    ]
    keys = ("target", "from", "to", "polarity")
    targets = {
        (number, *(opinion.get(key) for key in keys))
        for number, each in enumerate(sentences)
        for opinion in each.iter("Opinion")
        if opinion.get("target") not in (None, "NULL")
    }
    return visible("".join(each.find("text").itertext()) for each in sentences), len(targets)  # type: ignore[union-attr]


def _of_webanno(text: str) -> Counts:
    """Count tokens, and values that have no number or the first of a number in their document."""
    characters, spans = 0, 0
    for document in text.split("#FORMAT=")[1:]:
        rows = [row for row in _rows(document) if re.match(r"\d+-\d+(\.\d+)?$", row[0])]
        pieces = [piece for row in rows if row[4] != "_" for piece in row[4].split("|")]
        numbers = [re.search(r"\[(\d+)\]$", piece) for piece in pieces if not re.match(r"\*(\[|$)", piece)]
        characters += visible(row[2] for row in rows if "." not in row[0])
        spans += sum(number is None for number in numbers)
        spans += len({number[1] for number in numbers if number is not None})
    return characters, spans


def _of_prodigy(text: str) -> Counts:
    tasks = [task for task in _lines(text) if task.get("answer") not in ("reject", "ignore")]
    return visible(task["text"] for task in tasks), sum(len(task.get("spans") or ()) for task in tasks)


def _of_dataturks(text: str) -> Counts:
    tasks = _lines(text)
    annotations = [each for task in tasks for each in task.get("annotation") or ()]
    labels = [each["label"] if isinstance(each["label"], list) else [each["label"]] for each in annotations]
    counts = [
        len(points["points"]) * sum(bool(label) for label in each)
        for points, each in zip(annotations, labels, strict=True)
    ]
    return visible(task["content"] for task in tasks), sum(counts)


def _of_label_studio(text: str) -> Counts:
    tasks = json.loads(text)
    annotated = [task for task in tasks if task.get("annotations")]
    results = [region for task in annotated for region in task["annotations"][0]["result"]]
    labels = [label for region in results for label in region.get("value", {}).get("labels") or () if label]
    return visible(task["data"]["text"] for task in annotated or tasks), len(labels)


def _of_label_studio_min(text: str) -> Counts:
    """Count the first annotation of each task; the export has one item per annotation."""
    tasks: dict[str, list[dict[str, Any]]] = {}
    texts: dict[str, str] = {}
    every = json.loads(text)
    for number, task in enumerate(every):
        lists = [value for value in task.values() if isinstance(value, list)]
        regions = [each for value in lists for each in value if each.keys() & {"labels", "start"}]
        name = str(task.get("id", f"item {number}"))
        if name not in tasks and ("annotation_id" in task or any(each.get("labels") for each in regions)):
            tasks[name], texts[name] = regions, task["text"]
    labels = [
        label for regions in tasks.values() for each in regions for label in each.get("labels", ()) if label
    ]
    return visible(texts.values() if tasks else [task["text"] for task in every]), len(labels)


def _of_maven(text: str) -> Counts:
    documents = _lines(text)
    words = [word for each in documents for content in each["content"] for word in content["tokens"]]
    events = [event for each in documents for event in each.get("events") or ()]
    return visible(words), sum(len(event["mention"]) for event in events)


def _of_dygie(text: str) -> Counts:
    documents = _lines(text)
    words = [word for each in documents for sentence in each["sentences"] for word in sentence]
    return visible(words), sum(len(spans) for each in documents for spans in each.get("ner") or ())


def _of_words(load: Callable[[str], list[Any]], words: str, spans: str) -> Callable[[str], Counts]:
    def count(text: str) -> Counts:
        records = load(text)
        return visible(word for each in records for word in each[words]), sum(
            len(each.get(spans) or ()) for each in records
        )

    return count


def _of_text(text_key: str, spans: str) -> Callable[[str], Counts]:
    def count(text: str) -> Counts:
        records = _lines(text)
        return visible(each[text_key] for each in records), sum(
            len(each.get(spans) or ()) for each in records
        )

    return count


BRAT_TEXT = "Zoë Lind saw 東京 today.\nShe left 🙂 at 5.\n"
_WORDS = ["Zoë", "Lind", "saw", "東京", "today"]
_TAGS = ["B-PER", "I-PER", "O", "B-LOC", "O"]
_TEXT = "Zoë Lind saw 東京 today."
_MORE = "She left 🙂 at 5."


def _json_lines(*objects: Any) -> str:
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)


def _json_array(*objects: Any) -> str:
    return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in objects) + "\n]\n"


def _conllu_row(number: str, word: str, tag: str, misc: str = "_") -> str:
    return "\t".join((number, word, word, tag, *"__0_", "_", misc)) + "\n"


def _region(start: int, end: int, label: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": [label]}
    return {"value": value, "from_name": "label", "to_name": "text", "type": "labels"}


_START_END = ('"start": ', ', "end": ')
_SPANS = [{"start": 0, "end": 8, "type": "PER"}, {"start": 13, "end": 15, "type": "LOC"}]

VALID_FILES = [
    ValidFile(
        "conll",
        "conll",
        "-DOCSTART- O\n\n" + "".join(f"{w} {t}\n" for w, t in zip(_WORDS, _TAGS, strict=True)) + "\nHi O\n",
        _of_conll,
    ),
    ValidFile(
        "conllu",
        "conllu",
        "# text = Zoë sleeps\n" + _conllu_row("1", "Zoë", "PROPN") + _conllu_row("2-3", "sleeps", "_")
        + _conllu_row("2", "sleep", "VERB") + _conllu_row("3", "s", "PART") + "\n" + _conllu_row("1", "東", "X"),
        _of_conllu,
    ),
    ValidFile(
        "csv",
        "csv",
        f'tokens,tags\n"{_WORDS}","{_TAGS}"\n' + "\"['Hi']\",\"['O']\"\n",
        _of_csv,
    ),
    ValidFile(
        "csv-words",
        "csv",
        "sentence,word,tag\n1,Zoë,B-PER\n,Lind,I-PER\n,saw,O\n2,東京,B-LOC\n2,.,O\n",
        _of_csv_words,
        options={"sentence_column": "sentence", "words_column": "word", "tags_column": "tag"},
    ),
    ValidFile(
        "conllu-brackets",
        "conllu",
        "# global.Entity = eid-etype-head\n"
        + _conllu_row("1", "Zoë", "X", "Entity=(e1-person-1")
        + _conllu_row("2", "Lind", "X", "Entity=(e2-name-1)e1)")
        + _conllu_row("3", "saw", "X")
        + "\n"
        + _conllu_row("1", "東京", "X", "Entity=(e3-place-1)"),
        _of_conllu,
        options={"column": "misc:Entity"},
    ),
    ValidFile(
        "jsonl-tags",
        "jsonl",
        _json_lines({"words": _WORDS, "tags": _TAGS}, {"words": ["Hi"], "tags": ["O"]}),
        lambda text: (visible(word for each in _lines(text) for word in each["words"]), None),
        word='"Zoë"',
    ),
    ValidFile(
        "jsonl-spans",
        "jsonl",
        _json_lines({"text": _TEXT, "spans": _SPANS}, {"text": _MORE, "spans": []}),
        _of_text("text", "spans"),
        _START_END,
        '"PER"',
    ),
    ValidFile(
        "semeval14",
        "semeval14",
        f'<?xml version="1.0"?>\n<sentences>\n<sentence id="1"><text>{_TEXT}</text><aspectTerms>'
        '<aspectTerm term="Zoë Lind" polarity="positive" from="0" to="8"/></aspectTerms></sentence>\n'
        f'<sentence id="2"><text>{_MORE}</text></sentence>\n</sentences>\n',
        _of_semeval,
        ('from="', '" to="'),
    ),
    *(
        ValidFile(
            reader,
            reader,
            f'<?xml version="1.0"?>\n<Reviews>\n<Review rid="1"><sentences>\n<sentence id="1:0"><text>{_TEXT}</text>'
            '<Opinions>\n<Opinion target="Zoë Lind" category="A#B" polarity="positive" from="0" to="8"/>\n'
            '<Opinion target="NULL" category="A#C" polarity="neutral" from="0" to="0"/>\n'
            '<Opinion target="Zoë Lind" category="A#D" polarity="positive" from="0" to="8"/></Opinions></sentence>\n'
            f'<sentence id="1:1" OutOfScope="TRUE"><text>{_MORE}</text></sentence>\n'
            f'<sentence id="1:2"><text>{_MORE}</text></sentence>\n</sentences></Review>\n</Reviews>\n',
            _of_reviews,
            ('from="', '" to="'),
        )
        for reader in ("semeval15", "semeval16")
    ),
    ValidFile(
        "ace05",
        "ace05",
        _json_array(
            {
                "words": _WORDS,
                "golden-event-mentions": [{"trigger": {"start": 2, "end": 3}, "event_type": "See"}],
            },
            {"words": ["Hi"], "golden-event-mentions": []},
        ),
        _of_words(json.loads, "words", "golden-event-mentions"),
        _START_END,
        '"Zoë"',
    ),
    ValidFile(
        "maven",
        "maven",
        _json_lines(
            {
                "id": "d",
                "content": [{"tokens": _WORDS}, {"tokens": ["Hi"]}],
                "events": [{"type": "See", "mention": [{"sent_id": 0, "offset": [2, 3]}]}],
            }
        ),
        _of_maven,
        ('"offset": [', ", "),
        '"Zoë"',
    ),
    ValidFile(
        "doccano",
        "doccano",
        _json_lines(
            {"id": 1, "text": _TEXT, "label": [[0, 8, "PER"], [13, 15, "LOC"]]},
            {"id": 2, "text": _MORE, "label": []},
        ),
        _of_text("text", "label"),
        ('"label": [[', ", "),
        '"PER"',
    ),
    ValidFile(
        "doccano-objects",
        "doccano",
        _json_lines(
            {
                "id": 1,
                "text": _TEXT,
                "entities": [{"label": "PER", "start_offset": 0, "end_offset": 8}],
            }
        ),
        _of_text("text", "entities"),
        ('"start_offset": ', ', "end_offset": '),
        '"PER"',
    ),
    ValidFile(
        "doccano-annotations",
        "doccano",
        _json_lines(
            {
                "id": 1,
                "text": _TEXT,
                "annotations": [{"label": 3, "start_offset": 0, "end_offset": 8, "user": 1}],
                "annotation_approver": None,
            }
        ),
        _of_text("text", "annotations"),
        ('"start_offset": ', ', "end_offset": '),
        "3",
    ),
    ValidFile(
        "gliner",
        "gliner",
        _json_lines(
            {"tokenized_text": _WORDS, "ner": [[0, 1, "person"], [3, 3, "place"]]},
            {"tokenized_text": ["Hi"], "ner": []},
        ),
        _of_words(_lines, "tokenized_text", "ner"),
        ('"ner": [[', ", "),
        '"Zoë"',
    ),
    ValidFile(
        "dataturks",
        "dataturks",
        _json_lines(
            {
                "content": _TEXT,
                "annotation": [{"label": ["PER"], "points": [{"start": 0, "end": 7, "text": "Zoë Lind"}]}],
                "extras": None,
            },
            {"content": _MORE, "annotation": []},
        ),
        _of_dataturks,
        _START_END,
        '"PER"',
    ),
    ValidFile(
        "prodigy",
        "prodigy",
        _json_lines(
            {
                "text": _TEXT,
                "tokens": [
                    {"text": _TEXT[start:end], "start": start, "end": end, "id": number}
                    for number, (start, end) in enumerate([(0, 3), (4, 8), (9, 12), (13, 15), (16, 22)])
                ],
                "spans": [{"start": 0, "end": 8, "token_start": 0, "token_end": 1, "label": "PER"}],
                "answer": "accept",
            },
            {"text": _MORE, "spans": [], "answer": "accept"},
            {"text": "Never.", "spans": [], "answer": "reject"},
        ),
        _of_prodigy,
        ('"spans": [{"start": ', ', "end": '),
        '"PER"',
    ),
    ValidFile(
        "webanno",
        "webanno",
        "#FORMAT=WebAnno TSV 3.3\n#T_SP=webanno.custom.Entity|id|value\n\n\n"
        f"#Text={_TEXT}\n1-1\t0-3\tZoë\t_\tPER[1]|NAME\t\n1-2\t4-8\tLind\t_\tPER[1]\t\n1-3\t9-12\tsaw\t_\t_\t\n"
        "1-4\t13-15\t東京\t_\tLOC\t\n1-5\t16-21\ttoday\t_\t_\t\n1-6\t21-22\t.\t_\t_\t\n\n"
        "#Text=Hi\n2-1\t23-25\tHi\t_\t_\t\n2-1.1\t23-24\tH\t_\tX\t\n",
        _of_webanno,
        ("1-1\t", "-"),
    ),
    ValidFile(
        "label_studio",
        "label_studio",
        _json_array(
            {
                "id": 1,
                "data": {"text": _TEXT},
                "annotations": [{"result": [_region(0, 8, "PER"), _region(13, 15, "LOC")]}],
            },
            {"id": 2, "data": {"text": _MORE}, "annotations": [{"result": []}]},
        ),
        _of_label_studio,
        _START_END,
        '"PER"',
    ),
    ValidFile(
        "label_studio-min",
        "label_studio",
        _json_array(
            {"id": 1, "text": _TEXT, "annotation_id": 1, "label": [_region(0, 8, "PER")["value"]]},
            {"id": 2, "text": _MORE, "annotation_id": 2},
        ),
        _of_label_studio_min,
        _START_END,
        '"PER"',
    ),
    ValidFile(
        "spert",
        "spert",
        _json_array(
            {"tokens": _WORDS, "entities": [{"type": "PER", "start": 0, "end": 2}]},
            {"tokens": ["Hi"], "entities": []},
        ),
        _of_words(json.loads, "tokens", "entities"),
        _START_END,
        '"Zoë"',
    ),
    ValidFile(
        "dygie",
        "dygie",
        _json_lines(
            {"doc_key": "d", "sentences": [_WORDS, ["Hi"]], "ner": [[[0, 1, "PER"], [3, 3, "LOC"]], []]}
        ),
        _of_dygie,
        ('"ner": [[[', ", "),
        '"Zoë"',
    ),
    ValidFile(
        "oneie",
        "oneie",
        _json_lines(
            {"tokens": _WORDS, "entity_mentions": [{"entity_type": "PER", "start": 0, "end": 2}]},
            {"tokens": ["Hi"], "entity_mentions": []},
        ),
        _of_words(_lines, "tokens", "entity_mentions"),
        _START_END,
        '"Zoë"',
    ),
    ValidFile(
        "brat",
        "brat",
        "T1\tPER 0 8\tZoë Lind\nT2\tLOC 13 15;16 21\t東京 today\nR1\tsaw Arg1:T1 Arg2:T2\n",
        lambda text: (
            visible([BRAT_TEXT]),
            sum(line.startswith("T") for line in _text_lines(text)),
        ),
        ("PER ", " "),
    ),
    ValidFile("text", "text", BRAT_TEXT, lambda text: (visible([text]), 0)),
]  # fmt: skip


def _middle(content: bytes, inserted: bytes) -> bytes:
    return content[: len(content) // 2] + inserted + content[len(content) // 2 :]


_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
_PAGE = b"<!DOCTYPE html>\n<html><body>404: not found</body></html>\n"

EQUIVALENT_FORMS: dict[str, Callable[[str], bytes]] = {
    "bom": lambda text: text.encode("utf-8-sig"),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "utf16-bom": lambda text: text.encode("utf-16"),
    "utf16be-bom": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "no-line-end": lambda text: text.rstrip("\n").encode(),
}
"""Other ways to write the same file, which must give the same result."""

BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "blank": lambda _: b" \n\t\n\r\n",
    "half": lambda content: content[: len(content) // 2],
    "third": lambda content: content[: len(content) // 3],
    "last-missing": lambda content: content[:-2],
    "first-missing": lambda content: content[1:],
    "inside-a-character": lambda content: (
        content[: content.index(b"\xab")] if b"\xab" in content else content[:-5]
    ),
    "twice": lambda content: content + content,
    "lines-reversed": lambda content: b"".join(reversed(content.splitlines(keepends=True))),
    "every-second-line": lambda content: b"".join(content.splitlines(keepends=True)[::2]),
    "nul": lambda content: _middle(content, b"\x00"),
    "nuls": lambda content: b"\x00" * 4096,
    "nul-at-end": lambda content: content + b"\x00" * 10,
    "utf16le-without-bom": lambda content: content.decode().encode("utf-16-le"),
    "utf16be-without-bom": lambda content: content.decode().encode("utf-16-be"),
    "utf16-odd": lambda content: content.decode().encode("utf-16")[:-1],
    "utf32": lambda content: content.decode().encode("utf-32"),
    "latin-1": lambda content: content.decode().encode("latin-1", "replace"),
    "shift-jis": lambda content: content.decode().encode("shift-jis", "replace"),
    "invalid-utf8": lambda content: _middle(content, b"\xff\xfe\xfd"),
    "overlong-utf8": lambda content: _middle(content, b"\xc0\xaf"),
    "surrogate-utf8": lambda content: _middle(content, b"\xed\xa0\x80"),
    "two-boms": lambda content: b"\xef\xbb\xbf" * 2 + content,
    "bom-inside": lambda content: _middle(content, b"\xef\xbb\xbf"),
    "old-mac": lambda content: content.replace(b"\n", b"\r"),
    "line-separators": lambda content: content.replace(b"\n", "\u2028\x85\x0c\n".encode()),
    "control-characters": lambda content: _middle(content, bytes(range(1, 9)) + b"\x1b[2J"),
    "tabs": lambda content: content.replace(b" ", b"\t"),
    "spaces": lambda content: content.replace(b"\t", b" "),
    "no-spaces": lambda content: content.replace(b" ", b""),
    "mixed-separators": lambda content: content.replace(b" ", b"\t", 1).replace(b",", b";", 1),
    "extra-column": lambda content: _middle(content, b" x\ty,z\n"),
    "other-quotes": lambda content: content.replace(b'"', b"'"),
    "unclosed": lambda content: content.replace(b"]", b"", 1).replace(b"</text>", b"", 1),
    "digits-gone": lambda content: re.sub(rb"\d+", b"", content),
    "digits-grown": lambda content: re.sub(rb"\d+", b"9" * 5000, content),
    "digits-negative": lambda content: re.sub(rb"\d+", rb"-\g<0>", content),
    "lower-case": lambda content: content.lower(),
    "huge-line": lambda content: _middle(content, b"a" * 500_000),
    "huge-line-of-words": lambda content: _middle(content, b"a b " * 20_000),
    "deep": lambda content: _middle(content, b"[" * 50_000),
    "deep-from-the-start": lambda content: b'[{"a":' * 20_000 + content,
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "lfs-pointer": lambda _: _LFS,
    "web-page": lambda _: _PAGE,
}

OFFSETS = {
    "negative": ("-1", "2"),
    "both-negative": ("-3", "-1"),
    "swapped": ("2", "0"),
    "beyond": ("0", "9999"),
    "far-beyond": ("0", "9" * 4000),
    "too-many-digits": ("0", "9" * 5000),
    "fraction": ("0", "1.5"),
    "exponent": ("0", "1e2"),
    "infinite": ("0", "1e999"),
    "nan": ("NaN", "2"),
    "string": ('"0"', '"2"'),
    "null": ("null", "2"),
    "true": ("true", "2"),
    "list": ("[0]", "2"),
    "other-digits": ("٠", "٢"),
    "leading-zero": ("00", "02"),
    "hexadecimal": ("0x0", "0x2"),
    "sign": ("+0", "+2"),
    "blank": (" ", " "),
}

WORDS = {
    "number": "5",
    "null": "null",
    "true": "true",
    "nan": "NaN",
    "infinity": "-Infinity",
    "list": '["a"]',
    "object": '{"a": "b"}',
    "empty": '""',
    "blank": '" "',
    "line-end": r'"a\nb"',
    "surrogate": r'"\ud800"',
    "surrogates-swapped": r'"\ude00\ud83d"',
    "escaped-nul": r'"\u0000"',
    "bad-escape": r'"\x41"',
    "raw-tab": '"a\tb"',
    "huge": '"' + "a" * 300_000 + '"',
    "deep": "[" * 60_000 + "]" * 60_000,
    "deep-but-readable": "[" * 300 + "]" * 300,
    "twice": '"a", "a": 1',
    "unquoted": "a",
}

_BOMB = "<!DOCTYPE s [" + '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
) + "]>"  # fmt: skip


def _xml(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


XML: dict[str, Callable[[str], str]] = {
    "entity-bomb": lambda text: text.replace("<sentences>", _BOMB + "<sentences>").replace("saw", "&a9;"),
    "external-entity": lambda text: text.replace(
        "<sentences>", '<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><sentences>'
    ).replace("saw", "&x;"),
    "external-dtd": _xml("<sentences>", '<!DOCTYPE s SYSTEM "http://x.example/s.dtd"><sentences>'),
    "unknown-entity": _xml("saw", "&what;"),
    "surrogate-reference": _xml("saw", "&#xD800;"),
    "nul-reference": _xml("saw", "&#0;"),
    "unclosed-element": _xml("</sentence>", ""),
    "unclosed-attribute": _xml('polarity="positive"', 'polarity="positive'),
    "repeated-attribute": _xml('from="0"', 'from="0" from="1"'),
    "no-offset": _xml('from="0"', ""),
    "no-polarity": _xml('polarity="positive"', 'polarity=""'),
    "no-text": _xml(f"<text>{_TEXT}</text>", ""),
    "two-texts": _xml("</text>", "</text><text>more</text>"),
    "text-outside": _xml("<sentence id", "<text>lost</text><sentence id"),
    "term-outside": _xml("</sentences>", '<aspectTerm term="a" from="0" to="1" polarity="x"/></sentences>'),
    "sentence-in-sentence": _xml("<text>", '<sentence id="0"><text>lost</text></sentence><text>'),
    "markup-in-text": _xml("saw", "<b>saw</b>"),
    "cdata": _xml("saw", "<![CDATA[saw]]>"),
    "deep-elements": _xml("saw", "<b>" * 50_000),
    "other-term": _xml('term="Zoë Lind"', 'term="Zoe"'),
    "two-roots": lambda text: text + "<sentences/>",
    "encoding-unknown": _xml("?>", ' encoding="klingon"?>'),
    "encoding-of-two-bytes": _xml("?>", ' encoding="shift_jis"?>'),
    "encoding-utf-16": _xml("?>", ' encoding="utf-16"?>'),
    "encoding-no-text": _xml("?>", ' encoding="base64"?>'),
}

REVIEWS: dict[str, Callable[[str], str]] = {
    "entity-bomb": lambda text: text.replace("<Reviews>", _BOMB + "<Reviews>").replace("saw", "&a9;"),
    "no-target": _xml('target="Zoë Lind" ', ""),
    "no-polarity": _xml('polarity="positive" ', ""),
    "null-with-offsets": _xml('from="0" to="0"', 'from="0" to="3"'),
    "null-without-offsets": _xml(' from="0" to="0"', ""),
    "opinion-of-review": _xml(
        "</Review>", '<Opinions><Opinion category="A#B" polarity="x"/></Opinions></Review>'
    ),
    "opinion-in-text": _xml("saw", '<Opinion category="A#B" polarity="x"/>'),
    "sentence-in-sentence": _xml("<text>", '<sentence id="0"><text>lost</text></sentence><text>'),
    "text-outside": _xml("<sentence id", "<text>lost</text><sentence id"),
    "no-text": _xml(f"<text>{_TEXT}</text>", ""),
    "unknown-element": _xml("<Opinion ", "<opinion "),
    "element-of-2014": _xml("<Opinions>", '<Opinions><aspectTerm term="a" from="0" to="1" polarity="x"/>'),
    "markup-in-text": _xml("saw", "<b>saw</b>"),
    "all-out-of-scope": lambda text: text.replace('<sentence id="1:2"', '<sentence OutOfScope="TRUE"'),
    "review-in-review": _xml("<Review ", '<Review rid="0"/><Review '),
}

COLUMNS: dict[str, str] = {
    "one-column": "a\nb\n",
    "column-missing": "a O\nb\n",
    "column-too-many": "a O\nb x O\n",
    "unknown-letter": "a B-PER\nb X-PER\n",
    "no-type": "a B-PER\nb I-\n",
    "no-letter": "a B-PER\nb -PER\n",
    "stray-inside": "a B-PER\n\nb I-PER\n",
    "mixed-schemes": "a B-PER\nb E-PER\nc L-LOC\nd M-LOC\n",
    "plain-and-spans": "a NOUN\nb B-PER\n",
    "only-documents": "-DOCSTART- O\n\n-DOCSTART- O\n",
    "marker-inside": "a O\n-DOCSTART- O\nb O\n",
    "no-break-space": "a\u00a0O\nb O\n",
}

CSV: dict[str, str] = {
    "no-header": "\"['a']\",\"['O']\"\n",
    "no-rows": "tokens,tags\n",
    "repeated-header": "tokens,tokens,tags\n\"['a']\",\"['b']\",\"['O']\"\n",
    "unclosed-quote": "tokens,tags\n\"['a'],\"['O']\"\n",
    "no-list": "tokens,tags\na,O\n",
    "a-call": "tokens,tags\n\"[print('a')]\",\"['O']\"\n",
    "numbers": 'tokens,tags\n"[1]","[2]"\n',
    "unequal": "tokens,tags\n\"['a', 'b']\",\"['O']\"\n",
    "printed-array": "tokens,tags\n\"['a' 'b']\",\"['O' 'O']\"\n",
    "bad-escape": "tokens,tags\n\"['\\x']\",\"['O']\"\n",
    "bad-name": "tokens,tags\n\"['\\N{no such}']\",\"['O']\"\n",
    "surrogate": "tokens,tags\n\"['\\ud800']\",\"['O']\"\n",
    "line-end-in-string": "tokens,tags\n\"['a\nb']\",\"['O']\"\n",
    "nul-in-string": "tokens,tags\n\"['a\x00b']\",\"['O']\"\n",
    "cell-missing": "tokens,tags\n\"['a']\"\n",
    "deep": 'tokens,tags\n"' + "[" * 5000 + '","[\'O\']"\n',
}

CONLLU: dict[str, str] = {
    "nine-columns": "1\ta\ta\tX\t_\t_\t0\t_\t_\n",
    "spaces": "1 a a X _ _ 0 _ _ _\n",
    "id-missing": _conllu_row("1", "a", "X") + _conllu_row("3", "b", "X"),
    "id-twice": _conllu_row("1", "a", "X") * 2,
    "id-huge": _conllu_row("9" * 5000, "a", "X"),
    "id-negative": _conllu_row("-1", "a", "X"),
    "id-other-digits": _conllu_row("١", "a", "X"),
    "range-huge": _conllu_row("1-" + "9" * 5000, "ab", "_") + _conllu_row("1", "a", "X"),
    "range-swapped": _conllu_row("2-1", "ab", "_") + _conllu_row("1", "a", "X"),
    "range-alone": _conllu_row("1-2", "ab", "_"),
    "only-empty-nodes": _conllu_row("0.1", "a", "X"),
    "no-form": _conllu_row("1", "", "X"),
    "no-tag": _conllu_row("1", "a", "_"),
    "only-comments": "# text = a\n\n# newdoc\n",
}

_WEBANNO = "#FORMAT=WebAnno TSV 3.3\n#T_SP=webanno.custom.Entity|id|value\n\n\n"
WEBANNO: dict[str, str] = {
    "no-format": "1-1\t0-2\tHi\t_\t_\t\n",
    "old-format": "#FORMAT=WebAnno TSV 2\n1-1\t0-2\tHi\t_\t_\t\n",
    "second-header": _WEBANNO
    + "#Text=Hi\n1-1\t0-2\tHi\t_\tX[1]\t\n\n#FORMAT=WebAnno TSV 3.3\n#T_SP=b.Other|a|value\n\n"
    "#Text=Hi\n1-1\t0-2\tHi\t_\tX[1]\t\n",
    "no-layer": "#FORMAT=WebAnno TSV 3.3\n\n#Text=Hi\n1-1\t0-2\tHi\t\n",
    "several-layers": _WEBANNO[:-2] + "#T_SP=b.Other|value\n#Text=Hi\n1-1\t0-2\tHi\t_\t_\t_\t\n",
    "no-text": _WEBANNO + "1-1\t0-2\tHi\t_\tX\t\n",
    "only-text": _WEBANNO + "#Text=Hi\n",
    "other-text": _WEBANNO + "#Text=Ho\n1-1\t0-2\tHi\t_\tX\t\n",
    "column-missing": _WEBANNO + "#Text=Hi\n1-1\t0-2\tHi\tX\t\n",
    "column-too-many": _WEBANNO + "#Text=Hi\n1-1\t0-2\tHi\tX\tX\tX\t\n",
    "number-unclosed": _WEBANNO + "#Text=Hi\n1-1\t0-2\tHi\t_\tX[1\t\n",
    "number-huge": _WEBANNO + f"#Text=Hi\n1-1\t0-2\tHi\t_\tX[{'9' * 5000}]\t\n",
    "number-again": _WEBANNO
    + "#Text=a b c\n1-1\t0-1\ta\t_\tX[1]\t\n1-2\t2-3\tb\t_\t_\t\n1-3\t4-5\tc\t_\tX[1]\t\n",
    "two-types": _WEBANNO + "#Text=a b\n1-1\t0-1\ta\t_\tX[1]\t\n1-2\t2-3\tb\t_\tY[1]\t\n",
    "no-value": _WEBANNO + "#Text=Hi\n1-1\t0-2\tHi\tq\t*\t\n",
    "lone-backslash": _WEBANNO + "#Text=Hi\\\n1-1\t0-2\tHi\t_\tX\\\t\n",
    "half-surrogate": _WEBANNO + "#Text=\\ud83d\n1-1\t0-1\t\\ud83d\t_\t\\ud83d\t\n",
    "part-first": _WEBANNO + "#Text=Hi\n1-1.1\t0-1\tH\t_\tX\t\n",
    "part-elsewhere": _WEBANNO + "#Text=Hi\n1-1\t0-2\tHi\t_\t_\t\n1-1.1\t5-6\tH\t_\tX\t\n",
    "empty-part": _WEBANNO + "#Text=Hi\n1-1\t0-2\tHi\t_\t_\t\n1-1.1\t1-1\ti\t_\tX\t\n",
    "empty-token": _WEBANNO + "#Text=Hi\n1-1\t0-0\tHi\t_\tX\t\n",
    "offsets-huge": _WEBANNO + f"#Text=Hi\n1-1\t0-{'9' * 5000}\tHi\t_\tX\t\n",
    "offsets-swapped": _WEBANNO + "#Text=a b\n1-1\t2-3\tb\t_\tX\t\n1-2\t0-1\ta\t_\tX\t\n",
}

BRAT: dict[str, str] = {
    "no-tabs": "T1 PER 0 8 Zoë Lind\n",
    "no-offsets": "T1\tPER\tZoë Lind\n",
    "fragment-without-end": "T1\tPER 0 3;4\tZoë Lind\n",
    "fragments-swapped": "T1\tPER 4 8;0 3\tLind Zoë\n",
    "fragments-overlap": "T1\tPER 0 5;4 8\tZoë LLind\n",
    "nested": "T1\tPER 0 8\tZoë Lind\nT2\tFIRST 0 3\tZoë\nT3\tLAST 4 8\tLind\n",
    "same-span-twice": "T1\tPER 0 3\tZoë\nT1\tPER 0 3\tZoë\n",
    "inside-a-word": "T1\tPER 1 3\toë\nT2\tX 5 7\tin\n",
    "across-lines": "T1\tPER 16 29\ttoday. She\n",
    "white-space": "T1\tGAP 3 4\t \n",
    "unknown-kind": "X1\tPER 0 3\tZoë\n",
    "relations-alone": "R1\tsaw Arg1:T1 Arg2:T2\n",
}


def _specials() -> Iterable[tuple[str, ValidFile, bytes]]:
    by_name = {valid.name: valid for valid in VALID_FILES}
    yield from (
        (f"semeval14-xml-{n}", by_name["semeval14"], f(by_name["semeval14"].text).encode())
        for n, f in XML.items()
    )
    yield from (
        (f"semeval15-xml-{name}", by_name["semeval15"], change(by_name["semeval15"].text).encode())
        for name, change in REVIEWS.items()
    )
    tables = {"conll": COLUMNS, "csv": CSV, "conllu": CONLLU, "brat": BRAT, "webanno": WEBANNO}
    for reader, table in tables.items():
        yield from ((f"{reader}-file-{name}", by_name[reader], text.encode()) for name, text in table.items())


def corpus() -> list[tuple[str, ValidFile, bytes]]:
    """Every broken file: its name, the valid file it is made from, and its bytes."""
    cases: list[tuple[str, ValidFile, bytes]] = []
    for valid in VALID_FILES:
        content = valid.text.encode()
        cases += [(f"{valid.name}-{name}", valid, change(content)) for name, change in BROKEN.items()]
        if valid.span[0]:
            for name, offsets in OFFSETS.items():
                cases.append((f"{valid.name}-offsets-{name}", valid, valid.with_offsets(*offsets).encode()))
        if valid.word:
            for name, word in WORDS.items():
                content = valid.text.replace(valid.word, word, 1).encode()
                cases.append((f"{valid.name}-word-{name}", valid, content))
    return [*cases, *_specials()]
