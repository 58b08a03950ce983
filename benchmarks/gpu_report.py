"""The results of `gpu.py` as Markdown, for docs/reports/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

NOT_MEASURED = "not measured"


def as_markdown(results: dict[str, Any]) -> str:
    """All tables; a section that was not measured, or failed, says why."""
    parts = [_heading(results)]
    for name, write in _SECTIONS.items():
        section = results.get(name)
        if section is None:
            continue
        notes = [f"**{word}**: {section[key]}" for key, word in _REASONS if key in section]
        parts += [f"## {name}", *notes, *write(section)]
    return "\n\n".join(part for part in parts if part) + "\n"


_REASONS = (("error", "failed"), ("not_measured", NOT_MEASURED))


def _heading(results: dict[str, Any]) -> str:
    facts, device = results["machine"], results.get("device", {})
    about = [facts["device"], f"torch {facts['torch']}", f"transformers {facts['transformers']}"]
    rates = device.get("rates", {})
    if rates:
        about.append(f"matrix products {rates['matrix_product'] / 1e12:.3g} TFLOP/s")
        about.append(f"copies {rates['copy_bytes'] / 1e9:.3g} GB/s")
    return f"# GPU, shape {results['shape']}\n\n" + ", ".join(about) + "."


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: Any, form: str = ",.0f") -> str:
    return NOT_MEASURED if value is None else format(value, form)


def _ratio(scores: dict[str, Any], other: dict[str, Any], key: str) -> str:
    pair = scores.get(key), other.get(key)
    return NOT_MEASURED if None in pair or not pair[1] else f"{pair[0] / pair[1]:.2f}"


def _speed(contender: dict[str, Any]) -> list[str]:
    if "words_per_second" not in contender:
        reason = contender.get("not_measured") or contender.get("error") or ""
        return [f"{NOT_MEASURED}: {reason}" if reason else NOT_MEASURED, "", ""]
    memory = contender.get("peak_memory_bytes")
    return [
        _number(contender["words_per_second"]),
        "" if memory is None else f"{memory / 2**30:.2f} GiB",
        "" if contender.get("share_of_rate") is None else f"{contender['share_of_rate']:.2f}",
    ]


def _contenders(contenders: dict[str, Any]) -> str:
    sltk = contenders.get("sltk", {})
    rows = [
        [name, *_speed(each)[:1], _ratio(sltk, each, "words_per_second"), *_speed(each)[1:]]
        for name, each in contenders.items()
    ]
    return _table(("contender", "words/s", "sltk is faster by", "peak memory", "share of the rate"), rows)


def _kernels(section: dict[str, Any]) -> list[str]:
    def agrees(each: dict[str, Any]) -> str:
        return each["error"] if "error" in each else ("yes" if each["agrees"] else "**no**")

    calls = [
        [
            name, each.get("kernel", ""), _number(each.get("difference"), ".1e"), agrees(each),
            _number(each.get("milliseconds"), ".2f"), _number(each.get("plain_milliseconds"), ".2f"),
            each.get("reason") or "",
        ]
        for name, each in section.get("calls", {}).items()
    ]  # fmt: skip
    families = [
        [
            name, ", ".join(sorted(set(each.get("kernels", {}).values()))), _number(each.get("difference"), ".1e"),
            _number(each.get("gradient_difference"), ".1e"), agrees(each),
        ]
        for name, each in section.get("families", {}).items()
    ]  # fmt: skip
    return [
        _table(("attention", "kernel", "difference", "agrees", "ms", "ms, plain", "why no other"), calls),
        _table(("family", "kernels", "difference", "of gradients", "agrees"), families),
    ]


def _lora(section: dict[str, Any]) -> list[str]:
    contenders = section.get("contenders", {})
    sltk = contenders.get("sltk", {})
    goals = [
        [f"÷ {name}'", goal, _ratio(sltk, contenders.get(name, {}), "words_per_second")]
        for name, goal in (("authors", "≥ 4"), ("transformers", "≥ 2"))
    ]
    transformers = contenders.get("transformers", {})
    goals.append(["memory ÷ transformers'", "≤ 0.7", _ratio(sltk, transformers, "peak_memory_bytes")])
    passes = [
        [f"{each['subwords']:,}", "yes" if each["checkpointing"] else "no", *_speed(each)]
        for each in section.get("passes", [])
    ]
    difference = _number(section.get("loss_difference"), ".1e")
    replaced = ", ".join(f"{count} {name}" for name, count in section.get("replaced_modules", {}).items())
    return [
        _table(("7B in NF4, sltk", "goal", "measured"), goals),
        _contenders(contenders),
        _table(("subwords per pass", "checkpointing", "words/s", "peak memory", "share of the rate"), passes),
        f"Relative difference between the losses of sltk and transformers on one batch: {difference}.",
        f"Modules that sltk replaced: {replaced or 'none'}.",
    ]


def _encoder(section: dict[str, Any]) -> list[str]:
    variants = {name: each for name, each in section.items() if isinstance(each, dict)}
    return [f"{name.replace('_', ' ')}:\n\n{_contenders(each)}" for name, each in variants.items()]


def _prediction(section: dict[str, Any]) -> list[str]:
    parts = []
    for shape, each in section.items():
        if isinstance(each, dict):
            different = ", ".join(
                f"{name} {count}" for name, count in each["words_with_other_labels"].items()
            )
            about = f"Words labelled differently from sltk, of {each['words']:,}: {different}."
            parts += [f"{shape}, {each['precision']}:", _contenders(each["contenders"]), about]
    return parts


def _generation(section: dict[str, Any]) -> list[str]:
    rows = [
        [name, f"{each['sentences_per_second']:,.2f}", f"{each['mean_response']:g}"]
        for name, each in section.get("contenders", {}).items()
    ]
    return [_table(("contender", "sentences/s", "subwords per response"), rows)]


_SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "device": lambda _: [],
    "kernels": _kernels,
    "lora": _lora,
    "encoder": _encoder,
    "prediction": _prediction,
    "generation": _generation,
}
