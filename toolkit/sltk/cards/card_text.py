"""The Markdown of a card: sections of short facts, in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..schemes.labels import LabelSet
from .card_facts import CardFacts, ScoreFacts
from .card_limits import limits
from .card_usage import Usage
from .markdown import escaped, fenced, table


def card_text(facts: CardFacts | None, description: Mapping[str, Any], usage: Usage) -> str:
    """All sections of a card that something is known for."""
    title = facts.name if facts else "A sequence labeller"
    sections = {
        "Labels": _labels(facts, description),
        "How to use": usage.text,
        "Attention mask": _mask(facts, description),
        "Data": _data(facts),
        "Scores": _scores(facts),
        "Training": _training(facts),
        "Limitations": "".join(f"- {line}\n" for line in limits(facts, description, usage.thresholds)),
        "Licence": _license(facts, usage),
    }
    parts = [f"# {escaped(title)}\n", _summary(facts, description)]
    parts += [f"## {name}\n\n{text}" for name, text in sections.items() if text]
    return "\n".join(parts)


_OBJECTIVES = {
    "clm": "next-token prediction",
    "mlm": "masked language modelling",
    "mntp": "masked next-token prediction",
}


def _summary(facts: CardFacts | None, description: Mapping[str, Any]) -> str:
    what = "tags each word" if description["scheme"] == "plain" else "finds and labels spans of words"
    about = f"A model that {what} in a text"
    if facts and facts.adaptation == "scratch":
        about += ", trained from random weights"
    elif facts and facts.base:
        part = "" if facts.first_blocks is None else f"the first {facts.first_blocks} blocks of "
        about += f", based on {part}{_base(facts)}"
    if facts and facts.origin:
        how = f" by {_OBJECTIVES[facts.objective]}" if facts.objective else ""
        about += f", pre-trained further{how} in the run {escaped(facts.origin)}"
    test = (facts.scores.get("test") or facts.scores.get("validation")) if facts else None
    if facts and test and "f1" in test.values:
        split = "test" if "test" in facts.scores else "validation"
        about += f". F1 on the {split} data: {_with_interval(test, 'f1')}"
    return f"{about}. Made with sltk.\n"


def _base(facts: CardFacts) -> str:
    assert facts.base is not None
    name = escaped(facts.base.name)
    return name if facts.base.is_on_hub else f"the local model {name}"


def _labels(facts: CardFacts | None, description: Mapping[str, Any]) -> str:
    tags, types = description["labels"], LabelSet(tuple(description["labels"]), description["scheme"]).types
    if description["scheme"] == "plain":
        return f"{len(tags)} plain tags: {', '.join(map(escaped, tags))}.\n"
    about = f"{len(types)} types of spans, as {len(tags)} tags in the scheme {escaped(description['scheme'])}"
    split = next((name for name in ("test", "validation") if facts and name in facts.scores), None)
    if facts is None or split is None or not facts.scores[split].per_type:
        return f"{about}: {', '.join(map(escaped, types))}.\n"
    scores = facts.scores[split]
    rows = [_type_row(type_, scores) for type_ in dict.fromkeys([*types, *scores.per_type])]
    return f"{about}.\n\n{table(('type', f'spans in the {split} data', 'F1'), rows)}"


def _type_row(type_: str, scores: ScoreFacts) -> tuple[str, str, str]:
    values = scores.per_type.get(type_, {})
    if not values:
        return type_, "0", ""
    return (
        type_,
        f"{values.get('support', 0):,.0f}",
        _number(values.get("f1"), scores.type_intervals.get(type_)),
    )


def _with_interval(scores: ScoreFacts, key: str) -> str:
    return _number(scores.values.get(key), scores.intervals.get(key))


def _number(value: float | None, interval: tuple[float, float] | None = None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")


def _mask(facts: CardFacts | None, description: Mapping[str, Any]) -> str:
    flags = description["mask"]["flags"]
    if not flags:
        return ""
    unmasked = flags.count("1")
    if unmasked in (0, len(flags)):
        state = "causal" if not unmasked else "unmasked: each word sees the words after it"
        if (window := description["mask"].get("window")) is not None:
            state += f", and of all words only those at most {window} subwords away"
        about = f"All {len(flags)} blocks are {state}.\n"
    else:
        about = (
            f"{unmasked} of {len(flags)} blocks are unmasked (█): their words see the words after them. "
            "The others (░) are causal.\n"
        )
    picture = f"input  {''.join('░█'[flag == '1'] for flag in flags)}  output"
    return f"{about}\n{fenced('text', picture)}{_proof(facts)}"


def _proof(facts: CardFacts | None) -> str:
    if facts is None or facts.proof is None:
        return ""
    if not facts.proof.holds:
        return "\nThe proof of the mask failed.\n"
    difference = facts.proof.stock_difference
    stock = (
        ""
        if difference is None
        else f", and its own mask gave the stock output (difference {difference:.1g})"
    )
    return f"\nVerified with gradients when the model was built: every block attends as shown{stock}.\n"


def _data(facts: CardFacts | None) -> str:
    if facts is None or not facts.data:
        return ""
    rows = [
        (split, data.source, _count(data.sentences), _count(data.words)) for split, data in facts.data.items()
    ]
    return table(("split", "source", "sentences", "words"), rows)


def _count(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"


def _scores(facts: CardFacts | None) -> str:
    if facts is None or not facts.scores:
        return ""
    keys = [
        key for key in ("precision", "recall", "f1", "macro_f1", "accuracy")
        if any(key in scores.values for scores in facts.scores.values())
    ]  # fmt: skip
    names = {"f1": "F1", "macro_f1": "macro F1", "accuracy": "accuracy of words"}
    rows = [(split, *(_with_interval(scores, key) for key in keys)) for split, scores in facts.scores.items()]
    text = table(("split", *(names.get(key, key) for key in keys)), rows)
    if any(scores.intervals for scores in facts.scores.values()):
        text += "\nIn brackets: 95 % intervals, bootstrapped over sentences.\n"
    signatures = dict.fromkeys(scores.signature for scores in facts.scores.values() if scores.signature)
    verified = dict.fromkeys(scores.verified_by for scores in facts.scores.values() if scores.verified_by)
    if signatures:
        text += f"\nSignature: {', '.join(map(escaped, signatures))}\n"
    if verified:
        text += f"\nThe package {', '.join(map(escaped, verified))} computed the same scores.\n"
    return text


_ADAPTATIONS = {
    "adapter": "low-rank adapters (LoRA)",
    "full": "all weights",
    "frozen": "the head only",
    "scratch": "all weights, from a random start",
}


def _training(facts: CardFacts | None) -> str:
    if facts is None:
        return ""
    cost = facts.cost
    trained = _ADAPTATIONS[facts.adaptation]
    if cost.get("trained_parameters") is not None and cost.get("parameters") is not None:
        trained += f": {_count(cost['trained_parameters'])} of {_count(cost['parameters'])} parameters"
    rows: list[tuple[str, object]] = [("trained", trained)]
    if facts.quantization:
        rows.append(("base weights while training", facts.quantization))
    rows += [(key, _setting(value)) for key, value in facts.settings.items()]
    if cost.get("steps") is not None and cost.get("seconds") is not None:
        rows.append(("duration", f"{_count(cost['steps'])} updates in {cost['seconds']:,.0f} s"))
    if facts.device:
        rows.append(("device", facts.device))
    if facts.versions:
        rows.append(("versions", ", ".join(f"{name} {version}" for name, version in facts.versions.items())))
    return table(("setting", "value"), rows)


def _setting(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _license(facts: CardFacts | None, usage: Usage) -> str:
    if usage.license:
        return f"{escaped(usage.license)}\n"
    text = "Not stated."
    if facts and facts.base:
        text += f" The licence of {_base(facts)} applies to its weights."
    return f"{text}\n"
