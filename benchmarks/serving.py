"""Load test of `sltk serve`, beside the token-classification pipeline of transformers behind the same HTTP stack.

    python benchmarks/serving.py                                decoder with 30M parameters and random weights
    python benchmarks/serving.py --shape decoder-135m --requests 256
    python benchmarks/serving.py --model DIR                    a pretrained model

Both servers run the same exported model with FastAPI and uvicorn, each in a process of its own, on loopback. Each
client sends its next text when it has the answer to the last one. The answers of sltk are compared with
`sltk.load(DIR).predict`; the pipeline also makes spans of ill-formed tags, which models with random weights choose.

    sltk        `sltk serve DIR`, which labels the texts of concurrent requests together
    pipeline    one text at a time through the pipeline of transformers, with the same JSON in and out
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import sltk
from shared import machine, make_model, of_machine, parser, sentences
from sltk import Sentence

CLIENTS = (1, 8, 32)
_JSON = {"Content-Type": "application/json"}


@dataclass
class Load:
    """The answers to a number of requests."""

    clients: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answers: dict[int, list[Any]] = field(default_factory=dict)
    """The answers of each request: one each, if nothing is lost or doubled."""
    failures: list[str] = field(default_factory=list)

    def to_json(self, expected: Sequence[Any]) -> dict[str, Any]:
        times = sorted(self.latencies)

        def percentile(share: int) -> float:
            return round(1000 * times[min(len(times) - 1, math.ceil(len(times) * share / 100) - 1)], 1)

        answered = [answers for answers in self.answers.values() if len(answers) == 1]
        different = sum(
            not _is_equal(answers[0], expected[number % len(expected)])
            for number, answers in self.answers.items()
        )
        return {
            "clients": self.clients,
            "requests": len(self.latencies),
            "requests_per_second": round(len(self.latencies) / self.seconds, 1),
            **{f"p{share}_ms": percentile(share) for share in (50, 95, 99)},
            "worst_ms": round(1000 * times[-1], 1),
            "failures": self.failures[:5],
            "not_answered_once": len(self.latencies) - len(answered),
            "different_answers": different,
        }


def _is_equal(answer: Any, expected: Any) -> bool:
    """Whether spans are equal, and their scores up to rounding."""
    if [span[:3] for span in answer] != [span[:3] for span in expected]:
        return False
    return all(abs(one[3] - other[3]) < 1e-4 for one, other in zip(answer, expected, strict=True))


def spans_of(record: dict[str, Any]) -> list[tuple[int, int, str, float]]:
    """The spans of a record, in a form that can be compared."""
    return [(span["start"], span["end"], span["type"], span["score"]) for span in record["spans"]]


def load(port: int, texts: Sequence[str], clients: int, seconds: float) -> Load:
    """Send each text once, from so many clients at a time, and stop after some seconds."""
    result, numbers, lock = Load(clients), iter(range(len(texts))), threading.Lock()
    end = time.perf_counter() + seconds

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.perf_counter() < end:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            body = json.dumps({"text": texts[number]})
            begin = time.perf_counter()
            connection.request("POST", "/predict", body, _JSON)
            response = connection.getresponse()
            content = response.read()
            taken = time.perf_counter() - begin
            with lock:
                result.latencies.append(taken)
                if response.status == 200:
                    (record,) = json.loads(content)["predictions"]
                    result.answers.setdefault(number, []).append(spans_of(record))
                else:
                    result.failures.append(f"{response.status} {content[:100]!r}")
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - begin
    return result


@contextmanager
def running(*command: str) -> Iterator[int]:
    """Run a server, and yield its port, which the last number in its first line of output is."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline().split()[2].rpartition(":")[2])
        finally:
            server.terminate()


def serve_pipeline(folder: Path) -> None:
    """Serve the pipeline of transformers, one text at a time."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel
    from transformers import AutoModelForTokenClassification, AutoTokenizer, TokenClassificationPipeline

    from sltk.serving.socket_server import address_of, open_socket

    pipeline = TokenClassificationPipeline(
        model=AutoModelForTokenClassification.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        aggregation_strategy="first",
    )
    app, lock = FastAPI(), threading.Lock()

    class Body(BaseModel):
        text: str

    def predict(body: Body) -> dict[str, Any]:
        with lock:
            entities = pipeline(body.text)
        spans = [
            {
                "start": each["start"], "end": each["end"], "type": each["entity_group"],
                "score": float(each["score"]),
            }
            for each in entities
        ]  # fmt: skip
        return {"predictions": [{"text": body.text, "spans": spans}]}

    predict.__annotations__["body"] = Body
    app.post("/predict")(predict)
    listener = open_socket(
        "127.0.0.1", 0
    )  # as `sltk serve`, so that neither waits for delayed acknowledgements
    print(f"listening at {address_of(listener)}", flush=True)
    config = uvicorn.Config(app, http="h11", ws="none", log_level="critical", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def export_model(base: Path, folder: Path, corpus: Sequence[Sentence]) -> Path:
    """Train a model for a few updates, and export it in a form that transformers can load."""
    train = folder / "train.jsonl"
    lines = [json.dumps({"words": each.words, "tags": each.tags}) + "\n" for each in corpus[:16]]
    train.write_text("".join(lines), encoding="utf-8")
    spec = {
        "name": "serving",
        "data": {"train": {"type": "jsonl", "path": str(train)}},
        "backbone": {"type": "decoder", "name": str(base), "unmask": "none"},
        "trainer": {"max_steps": 2, "batch_size": 8},
    }
    sltk.train(spec, output=folder / "run")
    sltk.export(folder / "run", folder / "exported")
    return folder / "exported"


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the benchmark and return the output of `--json`."""
    corpus = sentences(max(options.requests, 16), options.data)
    base = options.model or make_model(options.shape, folder / "base", corpus)
    exported = export_model(base, folder, corpus)
    texts = [" ".join(sentence.words) for sentence in corpus[: options.requests]]
    labeller = sltk.load(exported)
    expected = [_expected(prediction) for prediction in labeller.predict(texts)]
    words = statistics.mean(len(sentence.words) for sentence in corpus[: options.requests])
    commands = {
        "sltk": ("-m", "sltk", "serve", str(exported), "--port", "0"),
        "pipeline": (__file__, "--serve-pipeline", str(exported)),
    }
    rows: dict[str, dict[int, list[dict[str, Any]]]] = {name: {n: [] for n in CLIENTS} for name in commands}
    with running(*commands["sltk"]) as sltk_port, running(*commands["pipeline"]) as pipeline_port:
        ports = {"sltk": sltk_port, "pipeline": pipeline_port}
        for port in ports.values():
            load(port, texts[:16], 4, options.seconds)  # untimed
        for _ in range(options.repetitions):
            for clients in CLIENTS:
                for name, port in ports.items():
                    result = load(port, texts, clients, options.seconds)
                    rows[name][clients].append(result.to_json(expected))
    return {
        "servers": {
            name: [_median(loads) for loads in by_clients.values()] for name, by_clients in rows.items()
        },
        "words_per_text": round(words, 1),
        "shape": str(options.model or options.shape),
        "machine": machine(torch.device("cpu")) | {"cores": os.cpu_count()},
    }


def _expected(prediction: sltk.Prediction) -> list[tuple[int, int, str, float]]:
    offsets = prediction.sentence.offsets or []
    return [
        (offsets[span.start][0], offsets[span.end - 1][1], span.type, span.score or 0.0)
        for span in prediction.spans
    ]


def _median(loads: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The repetition with the median rate; losses and differences of all of them."""
    middle = sorted(loads, key=lambda each: each["requests_per_second"])[len(loads) // 2]
    sums = {name: sum(each[name] for each in loads) for name in ("not_answered_once", "different_answers")}
    rates = [each["requests_per_second"] for each in loads]
    return {**middle, **sums, "requests_per_second_of_each": rates}


def show(result: dict[str, Any]) -> None:
    """Print a table."""
    table = Table(title=f"Serving, {result['shape']}, {result['words_per_text']} words per text")
    columns = (
        "server",
        "clients",
        "requests/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "worst ms",
        "lost",
        "different",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "server" else "right")
    for name, loads in result["servers"].items():
        for each in loads:
            times = [f"{each[key]:.0f}" for key in ("p50_ms", "p95_ms", "p99_ms", "worst_ms")]
            different = str(each["different_answers"]) if name == "sltk" else ""
            counts = [str(each["not_answered_once"]), different]
            table.add_row(name, str(each["clients"]), f"{each['requests_per_second']:.1f}", *times, *counts)
    console = Console()
    console.print(table)
    console.print(of_machine(result), highlight=False)
    for ours, theirs in zip(result["servers"]["sltk"], result["servers"]["pipeline"], strict=True):
        ratio = ours["requests_per_second"] / theirs["requests_per_second"]
        console.print(f"{ours['clients']} clients: sltk answers {ratio:.2f} times as many", highlight=False)


def main() -> None:
    """Run the benchmark and print a table."""
    arguments = parser(__doc__)
    arguments.set_defaults(shape="decoder-30m", repetitions=3)
    arguments.add_argument("--requests", type=int, default=512, help="requests per load (default: 512)")
    arguments.add_argument("--seconds", type=float, default=30, help="most seconds per load (default: 30)")
    arguments.add_argument("--model", type=Path, help="folder of a pretrained decoder, instead of --shape")
    arguments.add_argument("--serve-pipeline", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.serve_pipeline:
        serve_pipeline(options.serve_pipeline)
        return
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


if __name__ == "__main__":
    main()
