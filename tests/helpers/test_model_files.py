"""helpers/model_files.py: all tensors of a model, the files that they are in, and the digest over those files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import onnx
import pytest
import small_models as small

from helpers import model_files
from helpers.model_files import (
    NotAModel,
    all_tensors,
    external_files,
    file_beside,
    first_look,
    inside,
    kind_of,
    locations,
    model_sha256,
)

PLACES = small.external_everywhere("weights.bin")


def save(folder: Path, model: onnx.ModelProto, **files: bytes) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


@pytest.mark.parametrize("place", PLACES)
def test_tensors_are_found_wherever_they_stand(place):
    found = list(all_tensors(PLACES[place]))
    assert [tensor.name for tensor in found if locations(tensor)]
    assert external_files(PLACES[place].SerializeToString()) == ["weights.bin"]


def test_every_tensor_is_found_once_and_in_order():
    model = small.network()
    assert [tensor.name for tensor in all_tensors(model)] == [tensor.name for tensor in model.graph.initializer]


@pytest.mark.parametrize("place", PLACES)
def test_files_count_wherever_their_tensor_stands(place, tmp_path):
    path = save(tmp_path, PLACES[place])
    with pytest.raises(FileNotFoundError, match=r"m\.onnx keeps weights in 'weights\.bin', which is not in"):
        model_sha256(path)
    (tmp_path / "weights.bin").write_bytes(b"1234")
    first = model_sha256(path)
    (tmp_path / "weights.bin").write_bytes(b"1235")
    assert model_sha256(path) != first


def test_contents_that_change_their_places_change_the_digest(tmp_path):
    model = small.model([], constants=[small.in_file(name) for name in ("a", "b")])
    first = model_sha256(save(tmp_path, model, a=b"1111", b=b"1111"))
    other = small.model([], constants=[small.in_file(name) for name in ("a", "c")])
    content, digest = other.SerializeToString(), hashlib.sha256(b"1111").digest()
    path = save(tmp_path, other, c=b"1111")
    expected = hashlib.sha256(content + b"a\0" + digest + b"c\0" + digest).hexdigest()
    assert model_sha256(path) == expected != first


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on POSIX only")
def test_names_that_are_not_utf8(tmp_path):
    tensors = [small.in_file(name) for name in ("zz", "ok")]
    content = small.model([], constants=tensors).SerializeToString().replace(b"zz", b"\xff\xfe")
    (tmp_path / "m.onnx").write_bytes(content)
    (tmp_path / "ok").write_bytes(b"1")
    with pytest.raises(FileNotFoundError, match="udcff"):
        model_sha256(tmp_path / "m.onnx")
    try:
        (tmp_path / os.fsdecode(b"\xff\xfe")).write_bytes(b"2")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    assert len(model_sha256(tmp_path / "m.onnx")) == 64


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "link.bin", "up/secret.bin", "sub/../../secret.bin", "", "a\0b", "/dev/zero", "in/../link.bin"],
)
def test_nothing_outside_the_folder_is_read(location, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "up").symlink_to("..")
    # Whoever follows the link in "in" first comes to a file in sub, whoever drops "in/.." to the secret.
    (folder / "sub" / "link.bin").write_bytes(bytes(64))
    (folder / "sub" / "deep").mkdir()
    (folder / "in").symlink_to("sub/deep")
    path = save(folder, small.external(location))
    assert not inside(folder, location)
    monkeypatch.setattr("helpers.model_files._file_sha256", lambda file: pytest.fail(f"{file} was read"))
    with pytest.raises(ValueError, match="outside the model's folder"):
        model_sha256(path)


def test_what_lies_inside_the_folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    path = save(folder, small.relu(), a=b"1")
    (folder / "link").symlink_to("a")
    (tmp_path / "linked").symlink_to(folder)
    for location in ("a", "./a", "sub/b..", "link"):
        (folder / "sub" / "b..").write_bytes(b"2")
        assert inside(folder, location)
        assert file_beside(path, location) == folder / location
    assert inside(tmp_path / "linked", "a")
    # As ONNX has it, although they lead to a file of the folder: another reader might put the folder before them.
    for location in (str(folder / "a"), "sub/../a", "sub\\..\\a"):
        assert not inside(folder, location)
    for location in ("sub", ".", "a" * 5000, "none"):
        with pytest.raises(FileNotFoundError):
            file_beside(path, location)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
        with pytest.raises(FileNotFoundError):
            file_beside(path, "pipe")


# What a file is that should have been a model


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "is empty"),
        (b"\0\0\0\0TFL3" + b"\x14", "TensorFlow Lite"),
        (b"\xef\xbb\xbf <!doctype html>", "HTML or XML"),
        (b"{" * 9, "is a text file"),
        ((99 << 20).to_bytes(8, "little") + b"{", "safetensors"),
        (bytes(64), "only zeros"),
        ("größer".encode(), "is a text file"),
    ],
)
def test_what_is_no_model_is_called_by_its_name(head, said):
    assert said in kind_of(head)


@pytest.mark.parametrize(
    "head", [b"gr\xf6\xdfer", b"\x08\x07", b"\0\0\0TFL3\0", (100 << 20).to_bytes(8, "little") + b"{"]
)
def test_what_may_be_a_model(head):
    assert kind_of(head) is None


def test_the_first_look_at_files(tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    for make, said in (
        (lambda: None, f"there is no file {path}"),
        (path.mkdir, "is a folder"),
        (lambda: path.rmdir() or path.write_bytes(b""), "is empty"),
    ):
        make()
        with pytest.raises(NotAModel, match=said):
            first_look(path)
    path.write_bytes(small.network().SerializeToString())
    first_look(path)
    monkeypatch.setattr(model_files, "LARGEST", path.stat().st_size)
    first_look(path)
    monkeypatch.setattr(model_files, "LARGEST", path.stat().st_size - 1)
    with pytest.raises(NotAModel, match="2 GB"):
        first_look(path)


def test_protobuf_takes_one_byte_less_than_two_gibibytes():
    assert model_files.LARGEST == 2**31 - 1
