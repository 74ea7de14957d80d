"""The losses of students, written again from the papers: one pixel after the other."""

import numpy as np


def bilinear(values, y, x):
    """Return values (C, H, W) at a place, None outside the picture."""
    rows, columns = values.shape[-2:]
    if not (0 <= x <= columns - 1 and 0 <= y <= rows - 1):
        return None
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, rows - 1), min(x0 + 1, columns - 1)
    fy, fx = y - y0, x - x0
    top = values[:, y0, x0] * (1 - fx) + values[:, y0, x1] * fx
    low = values[:, y1, x0] * (1 - fx) + values[:, y1, x1] * fx
    return top * (1 - fy) + low * fy


def carried(values, flow):
    """Return values(x + F(x)) as a dict by (row, column), without what lies outside."""
    rows, columns = flow.shape[-2:]
    values_at = {}
    for y in range(rows):
        for x in range(columns):
            value = bilinear(values, y + flow[1, y, x], x + flow[0, y, x])
            if value is not None:
                values_at[y, x] = value
    return values_at


def cross_entropy(logits, labels):
    terms = []
    for item, labelled in zip(logits, labels, strict=True):
        for (y, x), label in np.ndenumerate(labelled):
            if label != 255:
                powers = np.exp(item[:, y, x])
                terms.append(-np.log(powers[label] / powers.sum()))
    return np.mean(terms)


def lovasz(probabilities, labels):
    """Berman et al.: eq. 9 with the extension of Delta_J, eq. 5, by its very definition."""
    losses = []
    for c in sorted(set(labels)):
        truth = {k for k, label in enumerate(labels) if label == c}
        errors = [1 - p[c] if k in truth else p[c] for k, p in enumerate(probabilities)]

        def jaccard_loss(wrong, truth=truth):
            return len(wrong) / len(truth | wrong)

        total, wrong = 0.0, set()
        for k in sorted(range(len(errors)), key=lambda k: -errors[k]):
            before = jaccard_loss(wrong) if wrong else 0.0
            wrong = wrong | {k}
            total += errors[k] * (jaccard_loss(wrong) - before)
        losses.append(total)
    return np.mean(losses) if losses else 0.0


def motion_guided(here, there, flow, picture, other):
    """PFI, eq. 3."""
    total = 0.0
    for b in range(len(here)):
        masks, pictures = carried(there[b], flow[b]), carried(other[b], flow[b])
        for (y, x), mask in masks.items():
            q = here[b, :, y, x]
            divergence = sum(q[c] * np.log(q[c] / mask[c]) for c in range(len(q)))
            total += np.exp(-np.abs(picture[b, :, y, x] - pictures[y, x]).sum()) * divergence
    return total / here[:, 0].size


def normalised_motion(here, there, flow, picture, other):
    """PFI's temporal loss as the program of its authors has it: scores, signed colours."""
    deviation = (0.229, 0.224, 0.225)
    total = 0.0
    for b in range(len(here)):
        scores, pictures = carried(there[b], flow[b]), carried(other[b], flow[b])
        for (y, x), score in scores.items():
            colours = (picture[b, :, y, x] - pictures[y, x]) / deviation
            alike = np.exp(-abs(colours.sum()))
            total += ((alike * (here[b, :, y, x] - score)) ** 2).sum()
    return total / here.size


def soft_disagreement(here, there, flow, visible):
    """TSS, eq. 3, of one item, with half the sum of differences for the test of labels."""
    shares = [
        np.abs(here[:, y, x] - value).sum() / 2
        for (y, x), value in carried(there, flow).items()
        if visible[0, y, x]
    ]
    return np.mean(shares)


def single_frame(student, teacher):
    """Structured knowledge distillation, eq. 1."""
    terms = []
    for b in range(len(student)):
        for y, x in np.ndindex(student.shape[-2:]):
            q, wanted = student[b, :, y, x], teacher[b, :, y, x]
            terms.append(sum(q[c] * np.log(q[c] / wanted[c]) for c in range(len(q))))
    return np.mean(terms)


def transform_invariance(of_transformed, masks, move):
    """TSS, eq. 1, over the pixels that the transform does not bring in from outside."""
    values = []
    for b in range(len(masks)):
        moved = carried(masks[b], move[b])
        squares = [((of_transformed[b, :, y, x] - m) ** 2).sum() for (y, x), m in moved.items()]
        values.append(np.sqrt(np.sum(squares) / max(len(squares), 1)))
    return np.mean(values)


def pooled(values, rows, columns):
    """Return means over equal cells; the picture's sides are multiples of the grid's."""
    channels, height, width = values.shape
    out = np.zeros((channels, rows, columns))
    for y in range(height):
        for x in range(width):
            out[:, y * rows // height, x * columns // width] += values[:, y, x]
    return out * rows * columns / (height * width)


def likeness(first, second):
    pixels = [values.reshape(len(values), -1).T for values in (first, second)]
    out = np.zeros((len(pixels[0]), len(pixels[1])))
    for i, x in enumerate(pixels[0]):
        for j, y in enumerate(pixels[1]):
            out[i, j] = x @ y / (np.linalg.norm(x) * np.linalg.norm(y))
    return out


def pair_wise(student, teacher, rows, columns):
    """PFI, eq. 2."""
    items = []
    for *own_pair, other, other_next in zip(*student, *teacher, strict=True):
        own = likeness(*(pooled(mask, rows, columns) for mask in own_pair))
        wanted = likeness(*(pooled(mask, rows, columns) for mask in (other, other_next)))
        items.append(((own - wanted) ** 2).sum() / own.size)
    return np.mean(items)


def convolved(values, kernels):
    """Return values (I, N, M) under kernels (O, I, 3, 3), zeros around."""
    _, rows, columns = values.shape
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(kernels), rows, columns))
    for y in range(rows):
        for x in range(columns):
            out[:, y, x] = (kernels * padded[:, y : y + 3, x : x + 3]).sum(axis=(1, 2, 3))
    return out


def embedding(lstm, maps):
    """Shi et al., eq. 3; the mean of the last hidden state. Maps (T, N, N)."""

    def sigmoid(values):
        return 1 / (1 + np.exp(-values))

    weights = {name: value.detach().numpy() for name, value in lstm.named_parameters()}
    d = lstm.channels
    inner, bias, outer = (
        weights["of_hidden.weight"], weights["of_input.bias"], weights["of_input.weight"],
    )  # fmt: skip
    peep = weights["peephole"][..., 0, 0]
    hidden = cell = np.zeros((d, *maps.shape[1:]))
    for similarity in maps:
        gates = [
            convolved(similarity[None], outer[k * d : k * d + d])
            + convolved(hidden, inner[k * d : k * d + d])
            + bias[k * d : k * d + d, None, None]
            for k in range(4)
        ]
        i = sigmoid(gates[0] + peep[0][:, None, None] * cell)
        f = sigmoid(gates[1] + peep[1][:, None, None] * cell)
        cell = f * cell + i * np.tanh(gates[2])
        o = sigmoid(gates[3] + peep[2][:, None, None] * cell)
        hidden = o * np.tanh(cell)
    return hidden.mean(axis=(1, 2))


def multi_frame(lstm, student, teacher, rows, columns):
    """PFI, section III-B."""
    apart, extent = [], []
    for features, others in zip(student, teacher, strict=True):
        own, wanted = (
            embedding(lstm, np.stack([likeness(p, p) for p in frames]))
            for frames in (
                [pooled(f, rows, columns) for f in features],
                [pooled(f, rows, columns) for f in others],
            )
        )
        apart.append(((wanted - own) ** 2).sum())
        extent.append((wanted**2).sum())
    return np.mean(apart), np.mean(extent)


def near_edge(labels, y, x, width):
    reach = width // 2
    window = labels[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    return len(np.unique(window)) > 1


def boundary_coherency(here, there, flow, back, width):
    """CL, eq. 1."""
    items = []
    for b in range(len(here)):
        halves = []
        for own, other, way in ((here[b], there[b], flow[b]), (there[b], here[b], back[b])):
            labels, moved = own.argmax(axis=0), carried(other, way)
            band = [position for position in moved if near_edge(labels, *position, width)]
            halves.append(lovasz([moved[position] for position in band], [labels[p] for p in band]))
        items.append(sum(halves) / 2)
    return np.mean(items)


def global_coherency(here, there, flow, back, visible, seen_back, margin):
    """CL, eq. 2."""
    items = []
    for b in range(len(here)):
        total = 0.0
        ways = (
            (here[b], there[b], flow[b], visible[b, 0]),
            (there[b], here[b], back[b], seen_back[b, 0]),
        )
        for own, other, way, tracked in ways:
            for (y, x), p in carried(other, way).items():
                target = own[:, y, x]
                if tracked[y, x] and target.max() - p.max() > margin:
                    total -= sum(target[c] * np.log(p[c]) for c in range(len(p))) / 2
        items.append(total)
    return np.mean(items)
