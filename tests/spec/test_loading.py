"""Loading specs: scalars, merging, and errors with their positions."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk import SpecError
from sltk.spec import loading
from sltk.yamltree.source import core_scalar, parse_yaml

VALID = """\
name: small
data:
  train: {type: conll, path: train.conll}
backbone: {type: decoder, name: some/model, unmask: 0111}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "spec.yaml") -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(textwrap.dedent(text), encoding="utf-8")
    return name


def load(text: str, *overrides: str):
    return loading.load(write(text), overrides).spec


def error(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        loading.load(write(text), overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0111", 111),
        ("-12", -12),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("2e-4", 2e-4),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", float("-inf")),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("0b1", "0b1"),
        ("e5", "e5"),
        (".", "."),
    ],
)
def test_plain_scalars_follow_the_core_schema(text, value):
    """Plain scalars follow the core schema of YAML 1.2, not YAML 1.1."""
    parsed = core_scalar(text)
    assert (parsed, type(parsed)) == (value, type(value))


@given(st.text(alphabet="0123456789.eExoab+-_:~nulltruefasiN", max_size=12))
def test_quoted_scalars_are_text(text):
    """A quoted scalar is text, whatever it looks like; a plain one is a value or text."""
    quoted, problems = parse_yaml(f'"{text}"', "t", Path())
    assert quoted.value == text
    assert not problems
    assert core_scalar(text) is None or isinstance(core_scalar(text), str | int | float)


@pytest.mark.parametrize("digits", ["0111", '"0111"', "'0111'"])
def test_a_mask_keeps_its_digits(folder, digits):
    """`unmask` keeps the digits with their leading zeros, quoted or not."""
    text = VALID.replace("0111", digits)
    assert load(text).backbone.unmask == "0111"
    assert load(VALID, f"backbone.unmask={digits}").backbone.unmask == "0111"


def test_a_mask_may_come_from_the_environment(folder, monkeypatch):
    """A mask can be the value or the default of an environment variable."""
    monkeypatch.setenv("MASK", "0010")
    assert load(VALID.replace("0111", '"${MASK}"')).backbone.unmask == "0010"
    assert load(VALID.replace("0111", '"${OTHER_MASK:-0001}"')).backbone.unmask == "0001"


ERRORS = [
    pytest.param(
        """\
        name: small
        data:
          train:
            type: conll
            path: train.conll
            lable_column: 3
        backbone: {type: decoder, name: some/model}
        head:
          type: crff
        """,
        (),
        """\
        error: unknown key `lable_column` for reader `conll`
          --> spec.yaml:6:5   (data.train)
           |
         6 |     lable_column: 3
           |     ^^^^^^^^^^^^ did you mean `label_column`?
           = allowed: path (required), limit, limit_seed, allow_empty = false, encoding = utf-8, \
encoding_errors = strict, scheme = auto, repair = conlleval, tag_style = auto, tag_names, outside, missing, \
word_column = 0, label_column = -1, labels = tags, separator, comment, document_marker = -DOCSTART-

        error: unknown head `crff`
          --> spec.yaml:9:9   (head.type)
           |
         9 |   type: crff
           |         ^^^^ did you mean `crf`?
           = available heads: crf, layered, linear, mlp, span""",
        id="unknown key and unknown component, both reported",
    ),
    pytest.param(
        VALID + "seed: abc\n",
        (),
        """\
        error: expected a whole number, found `abc`
          --> spec.yaml:5:7   (seed)
           |
         5 | seed: abc
           |       ^^^""",
        id="wrong type",
    ),
    pytest.param(
        VALID.replace("{type: conll, path: train.conll}", "{type: conll}"),
        (),
        """\
        error: missing key `path` for reader `conll`
          --> spec.yaml:3:3   (data.train)
           |
         3 |   train: {type: conll}
           |   ^^^^^
           = path: a file, a folder, or a pattern such as `data/*.conll`; relative to the folder of the spec""",
        id="a missing key points to the mapping that lacks it",
    ),
    pytest.param(
        "name: small\ndata: {}\nbackbone: {name: some/model}\n",
        (),
        """\
        error: missing key `train` in `data`
          --> spec.yaml:2:1   (data)
           |
         2 | data: {}
           | ^^^^
           = train: sentences to train on

        error: the `type` of the backbone is missing
          --> spec.yaml:3:1   (backbone)
           |
         3 | backbone: {name: some/model}
           | ^^^^^^^^
           = available backbones: decoder, encoder""",
        id="missing key of a plain mapping, missing type",
    ),
    pytest.param(
        VALID
        + "trainer: {select: bset, warmup: soon, betas: [0.9], epochs: 0, gradient_checkpointing: maybe}\n",
        (),
        """\
        error: expected `last` or `best`, found `bset`
          --> spec.yaml:5:19   (trainer.select)
           |
         5 | trainer: {select: bset, warmup: soon, betas: [0.9], epochs: 0, gradient_checkpointing: maybe}
           |                   ^^^^ did you mean `best`?

        error: expected a number, found `soon`
          --> spec.yaml:5:33   (trainer.warmup)
           |
         5 | trainer: {select: bset, warmup: soon, betas: [0.9], epochs: 0, gradient_checkpointing: maybe}
           |                                 ^^^^

        error: expected a list of 2, found a list of 1
          --> spec.yaml:5:39   (trainer.betas)
           |
         5 | trainer: {select: bset, warmup: soon, betas: [0.9], epochs: 0, gradient_checkpointing: maybe}
           |                                       ^^^^^

        error: expected a number above 0, found `0`
          --> spec.yaml:5:61   (trainer.epochs)
           |
         5 | trainer: {select: bset, warmup: soon, betas: [0.9], epochs: 0, gradient_checkpointing: maybe}
           |                                                             ^

        error: expected `auto` or true or false, found `maybe`
          --> spec.yaml:5:88   (trainer.gradient_checkpointing)
           |
         5 | trainer: {select: bset, warmup: soon, betas: [0.9], epochs: 0, gradient_checkpointing: maybe}
           |                                                                                        ^^^^^""",
        id="five wrong values in one line, from left to right",
    ),
    pytest.param(
        VALID,
        ("head.type=crff", "seed=1.5"),
        """\
        error: unknown head `crff`
          --> --set head.type=crff   (head.type)
           = did you mean `crf`?
           = available heads: crf, layered, linear, mlp, span

        error: expected a whole number, found `1.5`
          --> --set seed=1.5   (seed)""",
        id="a --set is shown as it was typed",
    ),
    pytest.param(
        VALID,
        ("metrics", "data.train={"),
        """\
        error: expected `key=value`, for example `--set trainer.epochs=3`
          --> --set metrics

        error: this is not YAML: expected the node content, but found '<stream end>' while parsing a flow node
          --> --set data.train={   (data.train)""",
        id="malformed --set",
    ),
    pytest.param(
        VALID + "seed: 1\nname: other\nseed: 2\n",
        (),
        """\
        error: duplicate key `name`
          --> spec.yaml:6:1
           |
         6 | name: other
           | ^^^^
           = first given at spec.yaml:1:1

        error: duplicate key `seed`
          --> spec.yaml:7:1
           |
         7 | seed: 2
           | ^^^^
           = first given at spec.yaml:5:1""",
        id="duplicate keys",
    ),
    pytest.param(
        VALID.replace("train.conll", '"${SLTK_TEST_UNSET}/x"') + "max_length: ${}\n",
        (),
        """\
        error: the environment variable `SLTK_TEST_UNSET` is not set
          --> spec.yaml:3:30   (data.train.path)
           |
         3 |   train: {type: conll, path: "${SLTK_TEST_UNSET}/x"}
           |                              ^^^^^^^^^^^^^^^^^^^^^^
           = set it, or give a default: `${SLTK_TEST_UNSET:-default}`

        error: `${` begins an environment variable: write `${NAME}` or `${NAME:-default}`
          --> spec.yaml:5:13   (max_length)
           |
         5 | max_length: ${}
           |             ^^^
           = for a literal `${` write `$${`""",
        id="environment variables",
    ),
    pytest.param(
        VALID.replace("0111", "0121"),
        (),
        """\
        error: unknown mask `0121`; expected digits such as 0111, `all`, `none`, `middle`, `first:N`, \
`last:N`, `window:N`, or a list of block numbers
          --> spec.yaml:4:53   (backbone.unmask)
           |
         4 | backbone: {type: decoder, name: some/model, unmask: 0121}
           |                                                     ^^^^""",
        id="unknown mask",
    ),
    pytest.param(
        VALID + "epochs: 3\n",
        (),
        """\
        error: unknown key `epochs`
          --> spec.yaml:5:1
           |
         5 | epochs: 3
           | ^^^^^^
           = `epochs` is a key of `trainer`
           = allowed: name (required), data (required), backbone (required), seed = 120, imports = [], \
type = tagger, splitter = regex, scheme = IOB2, max_length, on_overflow = window, document_context = 0, \
aligner = first_subword, head = linear, metrics = [seqeval], trainer = {…}, instruct""",
        id="a key that belongs elsewhere",
    ),
    pytest.param(
        VALID + "trainer: {early_stopping: 2}\n",
        (),
        """\
        error: `early_stopping` needs `data.validation`
          --> spec.yaml:5:27   (trainer.early_stopping)
           |
         5 | trainer: {early_stopping: 2}
           |                           ^""",
        id="keys that do not go together",
    ),
    pytest.param(
        VALID + "seed: !!python/object/apply:os.getpid []\n",
        (),
        """\
        error: the tag `!!python/object/apply:os.getpid` is not allowed: a spec holds plain values only
          --> spec.yaml:5:7   (seed)
           |
         5 | seed: !!python/object/apply:os.getpid []
           |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^""",
        id="tags of another kind",
    ),
    pytest.param(
        "name: small\n data: [\n",
        (),
        """\
        error: this is not YAML: mapping values are not allowed here
          --> spec.yaml:2:6
           |
         2 |  data: [
           |      ^""",
        id="not YAML",
    ),
    pytest.param(
        "- a\n",
        (),
        "error: a spec is a mapping of keys and values, found a list of 1\n  --> spec.yaml",
        id="not a mapping",
    ),
    pytest.param(
        "",
        (),
        "error: a spec is a mapping of keys and values, found nothing\n  --> spec.yaml",
        id="empty",
    ),
    pytest.param(
        "a: &a [*a]\n",
        (),
        """\
        error: an alias contains itself
          --> spec.yaml:1:4
           |
         1 | a: &a [*a]
           |    ^^^^^^^""",
        id="endless alias",
    ),
    pytest.param(
        VALID + "metrics: []\nlog: \x07\n",
        (),
        """\
        error: the character U+0007 is not allowed in YAML
          --> spec.yaml:6:6
           |
         6 | log: \x07
           |      ^""",
        id="control character",
    ),
    pytest.param(
        VALID,
        ("metrics.1.type=accuracy", "metrics=[]"),
        """\
        error: expected a list of at least 1, found a list of 0
          --> --set metrics=[]   (metrics)""",
        id="an index of a list that does not exist, replaced by the next --set",
    ),
]


@pytest.mark.parametrize(("text", "overrides", "expected"), ERRORS)
def test_error_messages(folder, monkeypatch, text, overrides, expected):
    """Every error says what is wrong, where, and what is expected; all errors are reported together."""
    monkeypatch.delenv("SLTK_TEST_UNSET", raising=False)
    assert error(text, *overrides) == textwrap.dedent(expected)


def test_a_missing_spec_is_named(folder):
    """A missing spec is one short error."""
    with pytest.raises(SpecError) as caught:
        loading.load("nowhere.yaml")
    assert str(caught.value) == "error: `nowhere.yaml` does not exist\n  --> nowhere.yaml"


def test_bytes_that_are_not_utf8_are_an_error(folder):
    """A spec that is not UTF-8 is rejected, with the line."""
    Path("spec.yaml").write_bytes(b"name: a\nseed: \xff\n")
    with pytest.raises(SpecError, match=r"this is not UTF-8\n  --> spec\.yaml:2"):
        loading.load("spec.yaml")


def test_a_byte_order_mark_is_ignored(folder):
    """A byte-order mark changes neither keys nor columns."""
    Path("spec.yaml").write_text("\ufeff" + VALID, encoding="utf-8")
    assert loading.load("spec.yaml").spec.name == "small"


def test_nested_aliases_are_limited(folder):
    """Nested aliases that would expand to millions of nodes are an error."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "keys and values, with aliases expanded" in error("\n".join(lines))


def test_deep_nesting_is_an_error(folder):
    """A thousand nested lists are rejected without a crash."""
    assert "nested too deeply" in error("a: " + "[" * 5000)


class TestExtends:
    """Specs that extend another spec."""

    def test_mappings_merge_and_lists_are_replaced(self, folder):
        """The child overrides the base key by key."""
        write(
            VALID + "metrics: [seqeval_placeholder]\ntrainer: {epochs: 3, batch_size: 4}\n", "base/base.yaml"
        )
        text = "extends: base/base.yaml\nname: child\nmetrics: [{type: accuracy}]\ntrainer: {epochs: 7}\n"
        spec = load(text)
        assert (spec.name, spec.trainer.epochs, spec.trainer.batch_size) == ("child", 7, 4)
        assert [metric.type_name for metric in spec.metrics] == ["accuracy"]

    def test_a_component_whose_type_changes_is_replaced_completely(self, folder):
        """The new head gets no option of the old one."""
        write(VALID + "head: {type: mlp, hidden: [8]}\n", "base.yaml")
        assert load("extends: base.yaml\nhead: {type: crf}\n").head.type_name == "crf"

    def test_a_component_of_the_same_type_keeps_its_keys(self, folder):
        """Repeating the type changes nothing."""
        write(VALID + "head: {type: linear, dropout: 0.25}\n", "base.yaml")
        assert load("extends: base.yaml\nhead: {type: linear}\n").head.dropout == 0.25

    def test_paths_are_relative_to_their_file(self, folder):
        """Paths in the base are relative to the base, paths in the child to the child."""
        write(VALID, "one/base.yaml")
        write(
            "extends: ../one/base.yaml\ndata: {test: {type: conll, path: ./test.conll}}\n", "two/child.yaml"
        )
        data = loading.load("two/child.yaml").spec.data
        assert data.train.path == folder / "one/train.conll"
        assert data.test.path == folder / "two/test.conll"

    def test_errors_point_to_the_file_of_the_value(self, folder):
        """An error in a value of the base points to the base, with a path relative to the one typed for the child."""
        write(VALID + "seed: abc\n", "one/base.yaml")
        write("extends: ../one/base.yaml\nmax_length: 0\n", "two/child.yaml")
        with pytest.raises(SpecError) as caught:
            loading.load("two/child.yaml")
        assert [str(problem.location) for problem in caught.value.problems] == [
            "one/base.yaml:5:7",
            "two/child.yaml:2:13",
        ]

    def test_specs_can_be_extended_repeatedly(self, folder):
        """A base may extend another spec."""
        write(VALID, "a.yaml")
        write("extends: a.yaml\nseed: 7\n", "b.yaml")
        spec = load("extends: b.yaml\nname: c\n")
        assert (spec.seed, spec.name, spec.backbone.unmask) == (7, "c", "0111")

    def test_circular_extends_are_rejected(self, folder):
        """Two specs that extend each other are an error at the second `extends`."""
        write("extends: spec.yaml\n", "other.yaml")
        assert error("extends: other.yaml\n") == textwrap.dedent("""\
            error: a spec cannot extend itself: spec.yaml → other.yaml → spec.yaml
              --> other.yaml:1:10   (extends)
               |
             1 | extends: spec.yaml
               |          ^^^^^^^^^""")

    def test_a_missing_base_is_an_error_at_extends(self, folder):
        """The error points to the `extends` that names the file."""
        assert "error: `gone.yaml` does not exist\n  --> spec.yaml:1:10   (extends)" in error(
            "extends: gone.yaml"
        )

    def test_an_unset_variable_of_the_base_may_be_overridden(self, folder, monkeypatch):
        """Values that are overridden are not checked."""
        monkeypatch.delenv("SLTK_TEST_UNSET", raising=False)
        write(VALID.replace("train.conll", '"${SLTK_TEST_UNSET}"'), "base.yaml")
        assert load("extends: base.yaml\ndata: {train: {path: mine}}\n").data.train.path == folder / "mine"
        assert load("extends: base.yaml\n", "data.train.path=x").data.train.path == folder / "x"


class TestSet:
    """Overrides on the command line."""

    def test_values_are_yaml(self, folder):
        """Numbers, lists, mappings and null have the same meaning as in a file."""
        spec = load(
            VALID,
            "trainer.learning_rate=5e-4",
            "trainer.betas=[0.8, 0.9]",
            "max_length=null",
            "head={type: crf}",
        )
        assert (spec.trainer.learning_rate, spec.trainer.betas, spec.max_length) == (
            5e-4,
            (0.8, 0.9),
            None,
        )
        assert spec.head.type_name == "crf"

    def test_paths_start_from_the_working_directory(self, folder):
        """Paths on the command line are relative to the working directory."""
        write(VALID, "deep/spec.yaml")
        assert (
            loading.load("deep/spec.yaml", ["data.train.path=here"]).spec.data.train.path == folder / "here"
        )

    def test_items_of_lists_have_numbers(self, folder):
        """`metrics.0.type` is the type of the first metric."""
        spec = load(VALID + "metrics: [{type: seqeval}, {type: accuracy}]\n", "metrics.0.mode=conlleval")
        assert spec.metrics[0].mode == "conlleval"
        assert spec.metrics[1].type_name == "accuracy"
        message = error(VALID + "metrics: [{type: seqeval}]\n", "metrics.3.type=accuracy")
        assert message.startswith(
            "error: there is no item 3: the list has 1, counted from 0\n  --> --set metrics.3"
        )

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_new_type_keeps_the_options_set_for_it(self, folder, order):
        """The type of a component and its options can be set in any order."""
        settings = ["head.type=mlp", "head.dropout=0.4"][::order]
        head = load(VALID + "head: {type: linear, dropout: 0.3}\n", *settings).head
        assert (head.type_name, head.dropout) == ("mlp", 0.4)

    def test_the_last_one_wins(self, folder):
        """Setting a key twice leaves the later value."""
        assert load(VALID, "seed=1", "seed=2").seed == 2

    def test_other_keys_of_the_mapping_keep_their_position(self, folder):
        """A `--set` does not change the position of other keys in the same mapping."""
        text = VALID + "trainer:\n  epoch: 3\n"
        assert "--> spec.yaml:6:3   (trainer)" in error(text, "trainer.batch_size=2")


class TestEnvironment:
    """Environment variables in scalars."""

    def test_a_set_variable_at_the_start_is_relative_to_the_working_directory(self, folder, monkeypatch):
        """A path from a variable is relative to the working directory."""
        monkeypatch.setenv("SLTK_TEST_DATA", "corpus")
        write(VALID.replace("train.conll", '"${SLTK_TEST_DATA:-../data}/x"'), "deep/spec.yaml")
        assert loading.load("deep/spec.yaml").spec.data.train.path == folder / "corpus/x"

    @pytest.mark.parametrize("value", [None, ""])
    def test_a_default_is_relative_to_the_spec(self, folder, monkeypatch, value):
        """The default is part of the spec; it also replaces an empty variable."""
        monkeypatch.delenv("SLTK_TEST_DATA", raising=False)
        if value is not None:
            monkeypatch.setenv("SLTK_TEST_DATA", value)
        write(VALID.replace("train.conll", '"${SLTK_TEST_DATA:-../data}/x"'), "deep/spec.yaml")
        assert loading.load("deep/spec.yaml").spec.data.train.path == folder / "data/x"

    def test_variables_can_be_numbers(self, folder, monkeypatch):
        """A plain scalar is parsed after variables are replaced; a quoted one stays text."""
        monkeypatch.setenv("SLTK_TEST_SEED", "7")
        assert load(VALID + "seed: ${SLTK_TEST_SEED}\n").seed == 7
        assert load(VALID.replace("small", '"${SLTK_TEST_SEED}"')).name == "7"

    def test_a_double_dollar_is_a_literal_dollar(self, folder):
        """`$${NAME}` is not replaced, and a single dollar stays."""
        assert load(VALID.replace("small", "a$${b}$c")).name == "a${b}$c"

    def test_the_home_folder_expands(self, folder, monkeypatch):
        """`~` is the home folder in paths and model directories."""
        monkeypatch.setenv("HOME", "/home/someone")
        spec = load(VALID.replace("train.conll", "~/a").replace("some/model", "~/m"))
        assert (str(spec.data.train.path), spec.backbone.name) == ("/home/someone/a", "/home/someone/m")


class TestDump:
    """Writing a spec."""

    @pytest.mark.parametrize(
        "text",
        [
            VALID,
            VALID.replace("0111", "[0, 3]"),
            VALID.replace("0111", "last:8") + "max_length: 12\nscheme: BIOES\n",
            VALID.replace("small", '"no"'),
            VALID.replace("small", '"1e5"'),
            VALID.replace("small", "'a$${HOME}: #b'"),
            VALID
            + "head: {type: crf}\ntrainer: {warmup: 0.1, clip: null, eps: 1e-12, learning_rate: 2e-4}\n",
            VALID.replace(
                "unmask", "quantization: {type: nf4}, lora: {r: 4, target_modules: [q, v]}, unmask"
            ),
            VALID.replace("train.conll", 'train.conll, separator: "\\t", comment: "#"'),
        ],
    )
    def test_round_trip(self, folder, text):
        """`load(dump(x))` equals `x`, whatever folder the text is stored in."""
        first = load(text)
        write(loading.dump(first), "elsewhere/spec.yaml")
        assert loading.load("elsewhere/spec.yaml").spec == first

    def test_quotes_the_mask_and_puts_types_first(self, folder):
        """Other YAML parsers read the mask as text, and the type of a component comes first."""
        text = loading.dump(load(VALID))
        assert 'unmask: "0111"' in text
        assert "backbone:\n  type: decoder\n" in text
        assert f"path: {folder}/train.conll" in text

    @given(
        name=st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1).filter(
            str.isprintable
        )
    )
    def test_keeps_any_text(self, tmp_path_factory, name):
        """Any name loads as the same text."""
        path = tmp_path_factory.mktemp("dump") / "spec.yaml"
        path.write_text(VALID, encoding="utf-8")
        spec = loading.load(path).spec.model_copy(update={"name": name})
        path.write_text(loading.dump(spec), encoding="utf-8")
        if name not in (".", ".."):
            assert loading.load(path).spec.name == name


def test_later_problems_get_positions(folder):
    """A problem found after loading is shown at its key."""
    loaded = loading.load(write(VALID))
    problem = loaded.problem("backbone.unmask", "4 digits, 3 blocks", notes=("the model has 3 blocks",))
    assert str(problem) == textwrap.dedent("""\
        error: 4 digits, 3 blocks
          --> spec.yaml:4:53   (backbone.unmask)
           |
         4 | backbone: {type: decoder, name: some/model, unmask: 0111}
           |                                                     ^^^^
           = the model has 3 blocks""")
    assert str(loaded.problem("backbone.lora.r", "too large").location) == "spec.yaml:4:1"
    assert str(loaded.problem("", "all wrong").location) == "spec.yaml"
