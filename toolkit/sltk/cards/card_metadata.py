"""The metadata at the top of a card, in the keys that the Hugging Face hub knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ..errors import Problem, UsageError, nearest
from ..files.safety import printable
from .card_facts import CardFacts, ScoreFacts

_LICENSES = (
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
    "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause", "c-uda", "cc", "cc0-1.0", "cc-by-2.0",
    "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
    "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "ecl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0",
    "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4",
    "gemma", "mpl-2.0", "odbl", "odc-by", "pddl", "unlicense", "wtfpl", "zlib", "unknown", "other",
)  # fmt: skip
"""Names of licences on the hub, to suggest one; the hub may know more."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_METRICS = {"f1": "F1", "precision": "Precision", "recall": "Recall", "accuracy": "Accuracy"}


def check_license(name: str) -> str:
    """Check that a licence has the form of a name on the hub, such as `apache-2.0`.

    Raises:
        UsageError: it has another form.
    """
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        return name
    note = "the hub names licences in lower case, such as apache-2.0, cc-by-4.0, or `other`"
    suggestion = nearest(name.lower().replace(" ", "-"), _LICENSES)
    raise UsageError(Problem(f"`{name}` is not the name of a licence", suggestion=suggestion, notes=(note,)))


def check_language(code: str) -> str:
    """Check that a language has the form of an ISO 639 code.

    Raises:
        UsageError: it has another form.
    """
    if re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|multilingual", code):
        return code
    raise UsageError(f"`{code}` is not the code of a language: expected one such as `en`, or `multilingual`")


def is_hub_name(name: str) -> bool:
    """Whether a text can be the name of a model or a data set on the hub."""
    return _HUB_NAME.fullmatch(name) is not None and ".." not in name and "--" not in name


def metadata(
    facts: CardFacts,
    *,
    library: str,
    task: str,
    tags: list[str],
    base: str | None,
    relation: str,
    **given: Any,
) -> dict[str, Any]:
    """The metadata of a card; keys without a value are left out.

    Args:
        facts: what is known of the run.
        library: the library that loads the folder.
        task: the task on the hub, such as `token-classification`.
        tags: tags in addition to those of every card.
        base: the name of the base model on the hub.
        relation: how the model derives from `base`: finetune, adapter, …
        given: values that only the user knows: license, language.
    """
    data = [each.source for each in facts.data.values() if each.is_on_hub and is_hub_name(each.source)]
    values: dict[str, Any] = {
        "library_name": library,
        "pipeline_tag": task,
        "license": given.get("license"),
        "language": given.get("language"),
        "base_model": base,
        "base_model_relation": relation if base else None,
        "datasets": list(dict.fromkeys(data)),
        "tags": ["sltk", *tags],
        "metrics": [key for key in _METRICS if any(key in each.values for each in facts.scores.values())],
        "model-index": _model_index(facts, task),
    }
    return {key: value for key, value in values.items() if value}


def front_matter(values: Mapping[str, Any]) -> str:
    """The metadata as the YAML block at the top of a card."""
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=10**9)
    return f"---\n{text}---\n"


def _model_index(facts: CardFacts, task: str) -> list[dict[str, Any]]:
    results = [
        {
            "task": {"type": task},
            "dataset": _dataset(facts, split),
            "metrics": list(_metrics(scores)),
        }
        for split, scores in facts.scores.items()
    ]
    results = [each for each in results if each["metrics"]]
    return [{"name": printable(facts.name), "results": results}] if results else []


def _dataset(facts: CardFacts, split: str) -> dict[str, str]:
    data = facts.data.get(split)
    name = printable(data.source) if data else "unknown"
    is_on_hub = data is not None and data.is_on_hub and is_hub_name(name)
    return {"name": name, "type": name if is_on_hub else "custom", "split": split}


def _metrics(scores: ScoreFacts) -> Iterator[dict[str, Any]]:
    """The scores of a split; the first says how all of them were computed."""
    known = {"signature": scores.signature, "verified_by": scores.verified_by}
    arguments = {key: printable(value) for key, value in known.items() if value}
    for key, name in _METRICS.items():
        if key in scores.values:
            yield {"type": key, "value": scores.values[key], "name": name} | (
                {"args": arguments} if arguments else {}
            )
            arguments = {}
