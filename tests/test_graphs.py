"""Graphs are written as text, to paths and file objects."""

import io

import pytest

import mlxffi as m
from mlxffi import export_to_dot, print_graph


def graph():
    x = m.Array([1.0, 2.0])
    return x, m.sum(m.exp(x))


def test_a_graph_is_printed(capsys):
    x, y = graph()
    print_graph([y], {"x": x, "loss": y})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Inputs: x")
    assert lines[1].startswith("Outputs: loss")
    assert any(line.startswith("Exp") for line in lines)


def test_a_graph_is_printed_to_a_file():
    file = io.StringIO()
    _, y = graph()
    print_graph([y], file=file)
    assert "Exp" in file.getvalue()


def test_a_graph_becomes_a_dot_file(tmp_path):
    x, y = graph()
    export_to_dot(tmp_path / "graph.dot", [y], {"x": x})
    text = (tmp_path / "graph.dot").read_text()
    assert text.startswith("digraph {")
    assert '"x"' in text or "x" in text.split()
    file = io.StringIO()
    export_to_dot(file, [y], {"x": x})
    assert file.getvalue() == text


def test_what_is_no_file_and_no_dict_is_named():
    x, y = graph()
    with pytest.raises(TypeError, match="file: expected a text file with write\\(\\), got int"):
        print_graph([y], file=1)
    with pytest.raises(TypeError, match="names: expected a dict, got Array"):
        print_graph([y], names=x)
