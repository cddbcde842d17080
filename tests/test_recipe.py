"""Recipes: what a file must say, and how a mistake in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.documents import read_recipe
from workbench.errors import BadInput
from workbench.recipe import StudentRecipe, TeacherRecipe

TEXT = """\
recipe: tiny
description: The smallest that learns.
policy: job-match
backbone: minilm
data:
  golden: job-match
  soft_labels: {run: latest, temperature: 2}
schedule:
  epochs: 2
"""


def write(folder: Path, text: str, name: str = "tiny.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_a_student_unless_it_says_teacher(tmp_path: Path) -> None:
    student = read_recipe(write(tmp_path, TEXT))
    assert isinstance(student, StudentRecipe)
    assert (student.recipe, student.data.golden, student.schedule.epochs) == ("tiny", "job-match", 2)
    assert student.data.soft_labels is not None
    assert student.data.soft_labels.temperature == 2
    teacher = read_recipe(write(tmp_path, "kind: teacher\n" + TEXT))
    assert isinstance(teacher, TeacherRecipe)
    assert teacher.content_hash != student.content_hash


def test_the_identity_is_the_content_with_its_defaults(tmp_path: Path) -> None:
    one = read_recipe(write(tmp_path, TEXT))
    same = read_recipe(write(tmp_path, "seed: 0\nkind: student\n" + TEXT))
    other = read_recipe(write(tmp_path, "seed: 1\n" + TEXT))
    assert one.content_hash == same.content_hash
    assert one.content_hash != other.content_hash
    assert one.content_hash.startswith("recipe-")


def test_soft_labels_can_be_left_out(tmp_path: Path) -> None:
    text = TEXT.replace("  soft_labels: {run: latest, temperature: 2}\n", "  soft_labels: null\n")
    assert read_recipe(write(tmp_path, text)).data.soft_labels is None


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("epochs: 2", "epoch: 2", 9, "at schedule.epoch: this key is not known here"),
        ("epochs: 2", "epochs: 0", 9, "at schedule.epochs: Input should be greater than or equal to 1"),
        ("epochs: 2", "epochs: two", 9, "(it is 'two')"),
        ("epochs: 2", "learning_rate: .nan", 9, "at schedule.learning_rate"),
        ("temperature: 2", "temperature: 0", 7, "at data.soft_labels.temperature"),
        ("temperature: 2", "heat: 2", 7, "at data.soft_labels.heat: this key is not known here"),
        ("backbone: minilm\n", "", 1, "at backbone: Field required"),
        ("backbone: minilm", "backbone: ''", 4, "at backbone"),
        ("  golden: job-match\n", "", 5, "at data.golden: Field required"),
        ("policy: job-match", "policy: Job Match", 3, "at policy"),
        ("policy: job-match", "policy: job-match\npolicy: other", 4, "'policy' is given twice"),
        ("backbone: minilm", "backbone: minilm\npooling: middle", 5, "at pooling: Input should be"),
        ("recipe: tiny", "recipe: tiny\nkind: pupil", 2, "at kind: Input tag 'pupil'"),
        ("data:\n", "data: [\n", 7, "not valid YAML"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert TEXT.count(old) == 1
    path = write(tmp_path, TEXT.replace(old, new))
    with pytest.raises(BadInput) as caught:
        read_recipe(path)
    assert says in caught.value.message
    assert caught.value.message.startswith(f"{path}, line {line}"), caught.value.message
    assert "root" not in caught.value.message.removeprefix(str(path))  # the wrapper is not shown
    assert caught.value.hint


@pytest.mark.parametrize("text", ["- a\n", "words\n", "3\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="is not a document with keys"):
        read_recipe(write(tmp_path, text))


def test_a_recipe_is_called_as_its_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds a recipe called 'tiny'\. Name the file tiny\.yaml"):
        read_recipe(write(tmp_path, TEXT, "other.yaml"))
