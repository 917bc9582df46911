"""A network in words, and as HTML: layers, units, activations, parameters."""

from __future__ import annotations

from html import escape

from jitmlp.model.model import Layer, Model

HEADS = ("layer", "units", "activation", "parameters")


def activation_name(layer: Layer) -> str:
    """An activation with its parameter, where it has one."""
    rule = layer.activation
    return f"{rule.name}({layer.parameter:g})" if rule.parameter else rule.name


def counts_of(model: Model) -> list[int]:
    """Trained numbers of every layer: weights, intercepts, gammas and betas."""
    return [
        (fan_in + 1 + 2 * layer.batch_norm) * fan_out for layer, (fan_in, fan_out) in zip(model.layers, model.shapes)
    ]


def n_looked_up(model: Model) -> int:
    """Trained numbers of embeddings."""
    return 0 if model.embedding is None else sum(model.embedding.categories) * model.embedding.dim


def rows_of(model: Model) -> list[tuple[str, str, str, str]]:
    """One row a layer, inputs first."""
    prepared = "normalized" if model.scaling is not None else ""
    if model.embedding is not None:
        prepared = f"{len(model.embedding.categories)} columns embedded"
    if model.bins is not None:
        prepared = ", ".join([*([prepared] if prepared else []), f"{len(model.bins.features)} features in bins"])
    rows = [("inputs", f"{model.n_inputs:,}", prepared, f"{n_looked_up(model):,}")]
    for number, (layer, count) in enumerate(zip(model.layers, counts_of(model)), 1):
        name = "output" if number == len(model.layers) else f"hidden {number}"
        parts = [*(["batch norm"] if layer.batch_norm else []), activation_name(layer)]
        parts += [f"dropout {layer.dropout:g}"] if layer.dropout else []
        rows.append((name, f"{layer.units:,}", ", ".join(parts), f"{count:,}"))
    return rows


def total(model: Model) -> str:
    """All parameters and the memory they take, in one line."""
    count = n_looked_up(model) + sum(counts_of(model))
    size = count * model.dtype.itemsize
    unit, divisor = next((u, d) for u, d in (("MB", 1e6), ("kB", 1e3), ("bytes", 1)) if size >= d or d == 1)
    amount = f"{size / divisor:.1f}" if divisor > 1 else str(size)
    return f"{count:,} parameters, {amount} {unit} of {model.dtype.name}, loss {model.loss.name}"


def in_words(model: Model) -> str:
    """A table of the layers, and the total."""
    table = [HEADS, *rows_of(model)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADS))]
    lines = [
        "  ".join(cell.rjust(w) if i in (1, 3) else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths)))
        for row in table
    ]
    rule = "-" * len(lines[0])
    return "\n".join(line.rstrip() for line in [lines[0], rule, *lines[1:], rule, total(model)])


def as_html(model: Model, title: str) -> str:
    """The same as a table for notebooks, with a bar of each layer's units."""
    rows = rows_of(model)
    most = max(model.layer_units)
    body = []
    for (name, units, activation, count), n in zip(rows, model.layer_units):
        width = max(2, round(120 * n / most))
        bar = f'<div style="background:#4878a8;height:0.7em;width:{width}px"></div>'
        cells = [name, bar, units, activation, count]
        style = 'style="text-align:{}"'
        body.append(
            "<tr>"
            + "".join(
                f"<td {style.format('right' if i in (2, 4) else 'left')}>{cell if i == 1 else escape(cell)}</td>"
                for i, cell in enumerate(cells)
            )
            + "</tr>"
        )
    heads = "".join(f"<th>{head}</th>" for head in (HEADS[0], "", *HEADS[1:]))
    return (
        f"<table><caption>{escape(title)}: {escape(total(model))}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )
