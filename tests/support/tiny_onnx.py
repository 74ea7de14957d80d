"""ONNX files of one or two nodes, written byte by byte: the `onnx` package is not needed."""

FLOAT, UINT8, INT64 = 1, 2, 7


def model(nodes, inputs, *, output_type=FLOAT, outputs=None):
    """Return an ONNX model as bytes.

    Parameters
    ----------
    nodes : list of (operator, attributes)
        A chain: each takes the output of the one before. Attributes are ints or lists of ints.
    inputs : list of (type, shape)
        Of the model, the first feeds the chain; a str in a shape is a side left open.
    output_type : int
    outputs : list of (str, list of (operator, attributes)), optional
        Several outputs in order, each by a chain of its own from the end of `nodes`.
    """
    names = [f"value{k}" for k in range(len(nodes) + 1)]
    graph = _chain(nodes, names)
    for name, branch in outputs or []:
        inner = [f"{name}_{k}" for k in range(1, len(branch))]
        graph += _chain(branch, [names[-1], *inner, name])
    graph += _part(2, b"graph")
    for k, (kind, shape) in enumerate(inputs):
        graph += _part(11, _value(names[0] if k == 0 else f"input{k}", kind, shape))
    for name in [name for name, _ in outputs or []] or [names[-1]]:
        graph += _part(12, _value(name, output_type, None))
    opset = _part(1, b"") + _number(2, 13)
    return _number(1, 8) + _part(7, graph) + _part(8, opset)


def _chain(nodes, names):
    return b"".join(
        _part(1, _node(operator, names[k], names[k + 1], attributes))
        for k, (operator, attributes) in enumerate(nodes)
    )


def adding(location, *, dims=(1, 3, 1, 1), output=FLOAT):
    """Return a model that adds a tensor to a picture; the tensor lies in another file."""
    tensor = b"".join(_number(1, side) for side in dims) + _number(2, FLOAT) + _part(8, b"w")
    for key, value in (("location", location), ("length", str(4 * 3))):
        tensor += _part(13, _part(1, key.encode()) + _part(2, value.encode()))
    tensor += _number(14, 1)  # external
    node = _part(1, b"x") + _part(1, b"w") + _part(2, b"y") + _part(4, b"Add")
    graph = _part(1, node) + _part(2, b"graph") + _part(5, tensor)
    graph += _part(11, _value("x", FLOAT, [1, 3, "rows", "columns"]))
    graph += _part(12, _value("y", output, None))
    return _number(1, 8) + _part(7, graph) + _part(8, _part(1, b"") + _number(2, 13))


def _node(operator, source, target, attributes):
    out = _part(1, source.encode()) + _part(2, target.encode()) + _part(4, operator.encode())
    for name, value in attributes.items():
        if isinstance(value, int):
            body = _number(3, value) + _number(20, 2)
        else:
            body = b"".join(_number(8, item) for item in value) + _number(20, 7)
        out += _part(5, _part(1, name.encode()) + body)
    return out


def _value(name, kind, shape):
    tensor = _number(1, kind)
    if shape is not None:
        sides = (_part(2, s.encode()) if isinstance(s, str) else _number(1, s) for s in shape)
        tensor += _part(2, b"".join(_part(1, side) for side in sides))
    return _part(1, name.encode()) + _part(2, _part(1, tensor))


def _part(field, content):
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field, value):
    return _varint(field << 3) + _varint(value & (1 << 64) - 1)


def _varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])
