"""How components are found, and how custom ones are added."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pydantic import ValidationError

import sltk
from sltk import Head, Reader, SpecError, UsageError, register
from sltk.components.registry import RegistrationError, UnknownComponentError, registry
from sltk.spec import loading
from sltk.spec.imports import load_imports

SPEC = """\
name: small
imports: [{imports}]
data:
  train: {{type: {reader}, path: train.tsv}}
backbone: {{type: decoder, name: some/model}}
"""

READER = '''\
from pathlib import Path

from sltk import Reader, Sentence, register


@register.reader("{name}")
class TsvReader(Reader):
    """One `word<TAB>tag` per line, a blank line between sentences."""

    path: Path

    def read(self):
        for block in self.path.read_text().strip().split("\\n\\n"):
            pairs = [line.split("\\t") for line in block.splitlines()]
            yield Sentence([word for word, _ in pairs], [tag for _, tag in pairs])
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spec(imports: str, reader: str = "conll") -> str:
    Path("spec.yaml").write_text(SPEC.format(imports=imports, reader=reader))
    return "spec.yaml"


def python(code: str, *path: Path | str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process that finds sltk and `path`."""
    source = Path(sltk.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (source, *path)))}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_public_names_are_those_that_are_there():
    """`sltk.__all__` is sorted, and lists names that can all be imported from it."""
    assert sorted(sltk.__all__) == sltk.__all__
    assert set(sltk._HOMES) <= set(sltk.__all__)
    assert dir(sltk) == sltk.__all__
    for name in sltk.__all__:
        assert getattr(sltk, name) is not None
    with pytest.raises(AttributeError, match="has no attribute `nothing`"):
        _ = sltk.nothing


def test_every_builtin_component_is_documented():
    """Every component has a docstring, and every key a description."""
    for slot in registry.slots():
        for name, component in registry.slot(slot).items():
            if not component.__module__.startswith("sltk."):
                continue  # another test's own
            assert component.type_name == name
            assert component.__doc__, (slot, name)
            for key, field in component.model_fields.items():
                assert field.description, f"{slot} {name}: {key}"


def test_every_key_of_a_spec_is_documented():
    """`Experiment` and its parts describe every field."""
    from sltk.spec.data_settings import DataSpec
    from sltk.spec.experiment import Experiment
    from sltk.spec.trainer_settings import TrainerSpec

    for model in (Experiment, DataSpec, TrainerSpec):
        assert all(field.description for field in model.model_fields.values()), model


def test_an_unknown_name_lists_those_that_exist():
    """The error holds the available names and the nearest one."""
    with pytest.raises(UnknownComponentError) as caught:
        registry.find("head", "liner")
    assert caught.value.problem.suggestion == "linear"
    assert "crf" in caught.value.problem.notes[0]


def test_a_component_needs_a_docstring():
    """A component without help cannot be registered; neither can one of another slot."""

    class Silent(Head):
        pass

    class Wrong(Reader):
        """Reads nothing."""

    with pytest.raises(RegistrationError, match="needs a docstring"):
        register.head("registry_test_silent")(Silent)
    with pytest.raises(RegistrationError, match=r"not a subclass of sltk\.Head"):
        register.head("registry_test_wrong")(Wrong)
    assert "registry_test_silent" not in registry.slot("head")


def test_a_name_collides_loudly():
    """Two classes cannot have one name in one slot; a built-in name cannot be taken either."""

    def one() -> type[Reader]:
        class First(Reader):
            """Reads nothing."""

        return First

    class Second(Reader):
        """Reads nothing."""

    register.reader("registry_test_twice")(one())
    register.reader("registry_test_twice")(one())  # the same class of the same source again
    with pytest.raises(RegistrationError, match="registered twice"):
        register.reader("registry_test_twice")(Second)
    with pytest.raises(
        RegistrationError, match=r"`conll` is registered twice: by sltk\.components\.readers\.conll"
    ):
        register.reader("conll")(Second)


def test_only_slots_have_decorators():
    """`register.nothing` says which slots there are."""
    with pytest.raises(AttributeError, match="unknown slot `nothing`; available slots: reader, splitter"):
        _ = register.nothing


def test_components_are_found_in_plain_mappings():
    """A slot validates `{type: …}` as the component of that name, and passes components on."""
    head = Head.model_validate({"type": "linear", "dropout": 0.25})
    assert (head.type_name, head.dropout) == ("linear", 0.25)
    assert Head.model_validate(head) is head
    for wrong in ("linear", {"dropout": 0.1}, {"type": "nothing"}, {"type": "linear", "dropuot": 1}):
        with pytest.raises(ValidationError):
            Head.model_validate(wrong)


class TestImports:
    """Custom components from a file next to the spec."""

    def test_a_component_of_a_file_is_valid_in_the_spec(self, folder):
        """The reader of a file named in `imports:` reads, and the file is reported as run."""
        Path("my_readers.py").write_text(READER.format(name="registry_test_tsv"))
        Path("train.tsv").write_text("Oslo\tB-LOC\nis\tO\n\ncold\tO\n")
        loaded = loading.load(spec("my_readers.py", "registry_test_tsv"))
        assert loaded.imported == (folder / "my_readers.py",)
        assert [sentence.words for sentence in loaded.spec.data.train.read()] == [
            ["Oslo", "is"],
            ["cold"],
        ]
        assert not (folder / "__pycache__").exists()

    def test_the_path_is_relative_to_the_spec(self, folder, monkeypatch):
        """A spec loads from another working directory."""
        Path("my_readers.py").write_text(READER.format(name="registry_test_elsewhere"))
        path = Path(spec("my_readers.py", "registry_test_elsewhere")).absolute()
        monkeypatch.chdir("/")
        assert loading.load(path).spec.data.train.type_name == "registry_test_elsewhere"

    def test_an_edited_file_replaces_the_old_one(self, folder):
        """In one process, the newest text of a file counts."""
        text = READER.format(name="registry_test_edited")
        Path("my_readers.py").write_text(text)
        loading.load(spec("my_readers.py", "registry_test_edited"))
        Path("my_readers.py").write_text(
            text.replace("    path: Path\n", "    path: Path\n    extra: int = 3\n")
        )
        assert loading.load("spec.yaml").spec.data.train.extra == 3

    def test_a_copy_of_a_file_is_the_same_file(self, folder):
        """A run directory holds a copy of what its spec imported: both may be loaded in one process."""
        text = READER.format(name="registry_test_copied")
        for name in ("one.py", "copy/two.py"):
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text)
            assert load_imports([name]) == [Path(name)]

    def test_a_module_may_be_named(self, folder, monkeypatch):
        """An item without `.py` is imported as a module."""
        Path("registry_test_module.py").write_text(READER.format(name="registry_test_from_module"))
        monkeypatch.syspath_prepend(str(folder))
        loaded = loading.load(spec("registry_test_module", "registry_test_from_module"))
        assert loaded.imported == (Path("registry_test_module"),)
        assert "imports: [registry_test_module]\n" in loading.dump(loaded.spec)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                "x = 1\ny = undefined + x\n",
                "error: `{file}` cannot be imported: NameError: name 'undefined' is not defined\n"
                "  --> {file}:2",
            ),
            ("def f(:\n", "error: `{file}` cannot be imported: SyntaxError: "),
            ("raise SystemExit(0)\n", "error: `{file}` cannot be imported: SystemExit: 0\n  --> {file}:1"),
            (
                READER.format(name="conll"),
                "error: `{file}` cannot be imported: RegistrationError: reader `conll` is registered twice",
            ),
        ],
    )
    def test_a_failing_file_is_reported_as_one_error(self, folder, text, expected):
        """The error has the line of the file, and no other error of the spec is reported."""
        Path("broken.py").write_text(text)
        with pytest.raises(SpecError) as caught:
            loading.load(spec("broken.py", "not_there"))
        assert str(caught.value).startswith(expected.format(file=folder / "broken.py"))
        assert len(caught.value.problems) == 1

    def test_a_file_that_is_not_there_is_an_error_in_the_spec(self, folder):
        """The place is the item of `imports:`."""
        with pytest.raises(SpecError) as caught:
            loading.load(spec("gone.py"))
        assert str(caught.value) == textwrap.dedent(f"""\
            error: `{folder}/gone.py` does not exist
              --> spec.yaml:2:11   (imports.0)
               |
             2 | imports: [gone.py]
               |           ^^^^^^^""")

    def test_from_the_command_line_too(self, folder):
        """`load_imports` raises the same error where there is no spec."""
        with pytest.raises(UsageError, match=r"`gone\.py` does not exist"):
            load_imports(["gone.py"])


class TestEntryPoints:
    """Components of installed packages."""

    @pytest.fixture
    def package(self, tmp_path):
        """A folder as pip would leave it: a module, and its metadata with an entry point."""
        (tmp_path / "tsv_package.py").write_text(READER.format(name="packaged_tsv"))
        information = tmp_path / "tsv_package-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tsv-package\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text("[sltk.components]\ntsv = tsv_package\n")
        return tmp_path

    def test_are_there_without_being_named(self, package):
        """A package that declares the entry point adds its components to every spec."""
        code = "from sltk.components.registry import registry; print(*registry.slot('reader'))"
        assert "packaged_tsv" in python(code, package).stdout.split()
        assert "packaged_tsv" not in python(code).stdout.split()

    def test_that_fail_are_named(self, package):
        """A package that cannot be imported is an error that names it; exit code 2."""
        (package / "tsv_package.py").write_text("import a_module_that_is_not_there\n")
        done = python("import sys; from sltk.cli import main; sys.exit(main(['list']))", package)
        assert done.returncode == 2
        assert done.stderr.startswith(
            "error: the installed component `tsv` (tsv_package) cannot be loaded: No module"
        )
