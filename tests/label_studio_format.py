"""JSON Schemas of what Label Studio imports and what it expects of an ML backend, written from its documentation.

https://labelstud.io/guide/predictions, https://labelstud.io/guide/task_format, https://labelstud.io/guide/ml_create
"""

from __future__ import annotations

from typing import Any

import jsonschema

REGION: dict[str, Any] = {
    "type": "object",
    "required": ["from_name", "to_name", "type", "value"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "from_name": {"type": "string", "minLength": 1},
        "to_name": {"type": "string", "minLength": 1},
        "type": {"const": "labels"},
        "score": {"type": "number"},
        "origin": {"enum": ["manual", "prediction", "prediction-changed"]},
        "value": {
            "type": "object",
            "required": ["start", "end", "labels"],
            "additionalProperties": False,
            "properties": {
                "start": {"type": "integer", "minimum": 0},
                "end": {"type": "integer", "minimum": 1},
                "text": {"type": "string"},
                "labels": {"type": "array", "minItems": 1, "items": {"type": "string"}},
            },
        },
    },
}
PREDICTION: dict[str, Any] = {
    "type": "object",
    "required": ["result"],
    "additionalProperties": False,
    "properties": {
        "result": {"type": "array", "items": REGION},
        "score": {"type": "number"},
        "model_version": {"type": "string"},
    },
}
ANNOTATION: dict[str, Any] = {
    "type": "object",
    "required": ["result"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "integer"},
        "result": {"type": "array", "items": REGION},
        "was_cancelled": {"type": "boolean"},
        "ground_truth": {"type": "boolean"},
        "completed_by": {"type": ["integer", "object"]},
        "lead_time": {"type": "number"},
    },
}
TASKS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["data"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "integer"},
            "data": {"type": "object", "minProperties": 1},
            "predictions": {"type": "array", "items": PREDICTION},
            "annotations": {"type": "array", "items": ANNOTATION},
        },
    },
}
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "model_version": {"type": "string"},
        "results": {
            "type": "array",
            "items": {"anyOf": [PREDICTION, {"type": "object", "required": ["error"], "maxProperties": 1}]},
        },
    },
}


def check(document: Any, schema: dict[str, Any]) -> None:
    """Check a document, and that the ids of the regions of each prediction differ.

    Raises:
        jsonschema.ValidationError: the document has another form.
    """
    jsonschema.Draft202012Validator(schema).validate(document)
